"""The chapter `0217`: three rational agents destroy a system together; then they are coordinated, and rehearsed.

It is `comity demo 0217`: a simulated plant and a node, each a process of its own, two agents written with the SDK, a
program that comes in by the gateway.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from narrator import Narrator

PICTURE = Path(__file__).resolve().parents[2] / "build" / "0217-map.svg"
INTRODUCTION = """\
02:17. One agent scales the application up, for latency is high. One sheds a database instance, for utilisation is \
low. One shifts traffic to where there is room. Each is right, and every two of them are safe. 02:19: the database \
layer is gone, and no log shows an error."""


class InterplayFailed(Exception):
    """The chapter did not show what it promises."""


class Interplay:
    """The chapter."""

    def __init__(self, narrator: Narrator, folder: Path) -> None:
        """Tell it by `narrator`."""
        self._narrator = narrator

    async def play(self) -> None:
        """Play it, and check what came of it.

        Raises:
            InterplayFailed: it did not collapse uncoordinated, or did not hold coordinated.
        """
        self._narrator.title("02:17", INTRODUCTION)
        sys.stdout.flush()
        PICTURE.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "comity", "demo", "0217", "--map", str(PICTURE)]
        process = await asyncio.create_subprocess_exec(*command)
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if code:
            raise InterplayFailed(f"`comity demo 0217` ended with {code}")
