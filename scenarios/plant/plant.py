"""The plant: what a simulated system offers to whoever runs it. Pure: it knows no clock and no network.

One `step` is some seconds of its own time. It never writes an error to any log: when it is lost, it is just lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Seen = dict[str, Any]
"""What its sensors show, by name."""


class Plant(Protocol):
    """A simulated system. Its actuators are the methods that `ACTUATORS` names."""

    ACTUATORS: tuple[str, ...]
    is_lost: bool

    def step(self) -> None:
        """Let some seconds pass."""
        ...

    def sensors(self) -> Seen:
        """Return what a dashboard would show."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Return what is really so."""
        ...

    def goals(self) -> Mapping[str, bool]:
        """Return which agents have what they want."""
        ...
