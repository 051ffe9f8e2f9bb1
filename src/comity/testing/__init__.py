"""What tests of agents lean on: a clock and a chance that a test steps, scripted models, stores in memory.

Names are resolved on first use, so that a test loads only what it names. To offer one more, add it to both lists.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comity.testing.clock import FakeClock, FakeEntropy
    from comity.testing.memory import MemoryStore
    from comity.testing.scripted import ScriptedModel, call

__all__ = ["FakeClock", "FakeEntropy", "MemoryStore", "ScriptedModel", "call"]

_HOME = {
    "FakeClock": "comity.testing.clock",
    "FakeEntropy": "comity.testing.clock",
    "MemoryStore": "comity.testing.memory",
    "ScriptedModel": "comity.testing.scripted",
    "call": "comity.testing.scripted",
}


def __getattr__(name: str) -> Any:
    """Load the module that holds `name`."""
    if name not in _HOME:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(_HOME[name]), name)
