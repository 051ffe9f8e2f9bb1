"""What tools and tests say to the tally: blocking calls over loopback, one connection each."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tally.book import Book, Effect

VARIABLE = "TALLY_PORT"
"""The environment variable that tells a hand where the tally is."""


class Tally:
    """The tally at a port of this machine; by default the one that the environment names."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or int(os.environ[VARIABLE])

    def act(self, name: str, key: str, args: dict[str, Any], *, by_key: bool = False) -> int:
        """Cause an effect between the gates `before NAME REF` and `after NAME REF`; return its number."""
        self.ask("pass", gate=f"before {name} {args.get('ref')}")
        number: int = self.ask("act", name=name, key=key, args=args, by_key=by_key)
        self.ask("pass", gate=f"after {name} {args.get('ref')}")
        return number

    def undo(self, name: str, args: dict[str, Any]) -> int:
        """Undo an effect between the gates `before undo NAME REF` and `after undo NAME REF`."""
        self.ask("pass", gate=f"before undo {name} {args.get('ref')}")
        number: int = self.ask("undo", name=name, args=args)
        self.ask("pass", gate=f"after undo {name} {args.get('ref')}")
        return number

    def look(self, name: str, args: dict[str, Any]) -> int | None:
        """Return the number of the standing effect, None where there is none."""
        found: int | None = self.ask("look", name=name, args=args)
        return found

    def hold(self, gate: str) -> None:
        """Close a gate: whoever comes waits there."""
        self.ask("hold", gate=gate)

    def open(self, gate: str) -> None:
        """Let all pass."""
        self.ask("open", gate=gate)

    def waiting(self, gate: str) -> int:
        """Return how many wait at a gate."""
        found: int = self.ask("waiting", gate=gate)
        return found

    def book(self) -> Book:
        """Return what happened so far."""
        found = self.ask("book")
        return Book([Effect(*item) for item in found["effects"]], dict.fromkeys(found["undone"], ""))

    def ask(self, op: str, **given: Any) -> Any:
        """Send one request and return its answer."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection, connection.makefile("rwb") as file:
            file.write(json.dumps({"op": op, **given}).encode() + b"\n")
            file.flush()
            line = file.readline()
        if not line:
            raise ConnectionResetError("the tally closed the connection")
        return json.loads(line)


class TallyProcess:
    """A tally of its own, for the length of a `with`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> Tally:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tally.server", str(self._file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdout is not None
        return Tally(int(self._process.stdout.readline()))

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
