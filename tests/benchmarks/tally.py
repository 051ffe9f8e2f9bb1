"""Counts effects of the crash scenario outside the measured systems.

A line in a file, appended with one write, survives the SIGKILL of its writer: the page cache is the kernel's.
Times are of the machine's monotonic clock, so that lines of several processes compare.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer import Strike

ACTED = "acted"
NOT_ACTED = "not acted"
VARIANTS = (ACTED, NOT_ACTED)
"""Where the step in flight is held for the kill: after its effect, or before it."""


@dataclass(frozen=True)
class Line:
    """One note: a step was entered, had its effect, or waits for its end."""

    what: str
    step: int
    pid: int
    at: float


def striker(path: Path, hold: int = -1, variant: str = "") -> Strike:
    """Return a step body that notes its effect; in step `hold` it waits for the kill, as `variant` says."""

    def strike(step: int) -> int:
        note(path, "entered", step)
        if step == hold and variant == NOT_ACTED:
            _wait_for_the_end(path, step)
        note(path, "effect", step)
        if step == hold and variant == ACTED:
            _wait_for_the_end(path, step)
        return step

    return strike


def note(path: Path, what: str, step: int) -> None:
    """Append one line."""
    line = json.dumps({"what": what, "step": step, "pid": os.getpid(), "at": time.monotonic()})
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def lines(path: Path) -> list[Line]:
    """Return all lines so far."""
    if not path.exists():
        return []
    return [Line(**json.loads(text)) for text in path.read_text().splitlines()]


def _wait_for_the_end(path: Path, step: int) -> None:
    note(path, "holding", step)
    threading.Event().wait()
