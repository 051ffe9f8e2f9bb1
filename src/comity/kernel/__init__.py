"""The kernel: task state machine, call path, recall and doubt, budgets, stops."""

from comity.kernel.kernel import Devices, Kernel, Settings

__all__ = ["Devices", "Kernel", "Settings"]
