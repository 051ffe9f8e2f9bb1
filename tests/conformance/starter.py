"""Starts Python programs quickly: what they import is imported once, and each program is a fork of that.

A program is a process of its own, run from its file as `python FILE` runs it; it is spared the seconds of CPU that its
client library takes to be imported, which a matrix of hundreds of starts has to pay otherwise. Run as
`python -m conformance.starter FILE…`; it takes a wish a line (`start`, `kill`), and tells of each end in a line.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

UP_S = 120.0
LATER = (
    *("openai.resources.chat", "openai.resources.responses", "anthropic.resources.messages"),
    *("pydantic_ai.models.openai", "pydantic_ai.models.anthropic", "pydantic_ai.providers.openai"),
    *("pydantic_ai.providers.anthropic", "jsonschema", "fastmcp.client.transports"),
)
"""What libraries import only when they are used, where they are there."""


class Starter:
    """The process that starts programs which find their packages by one PYTHONPATH."""

    def __init__(self, files: Sequence[str], environment: Mapping[str, str]) -> None:
        """Begin to import; the first start waits for it."""
        self.codes: dict[int, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "conformance.starter", *files],
            env={**environment, "OPENAI_AGENTS_DISABLE_TRACING": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self.close)
        assert (self._hear(UP_S) or {}).get("ready"), "the starter did not come up"

    def close(self) -> None:
        """End it, with the programs that still run."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path, out: Path) -> Forked:
        """Start a program; what it prints and says goes to files."""
        self._say(start=command, environment=dict(environment), log=str(log), out=str(out))
        while (told := self._hear(UP_S)) is None or "pid" not in told:
            assert told is not None, "the starter is gone"
            self._note(told)
        return Forked(self, told["pid"])

    def kill(self, pid: int) -> None:
        """Send SIGKILL to a program, unless it has ended."""
        self._say(kill=pid)

    def listen(self, wait_s: float = 0.0) -> None:
        """Take note of the programs that have ended."""
        while (told := self._hear(wait_s)) is not None:
            self._note(told)
            wait_s = 0.0

    def _note(self, told: dict[str, int]) -> None:
        self.codes[told["ended"]] = told["code"]

    def _say(self, **wish: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wish).encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self, wait_s: float) -> dict[str, int] | None:
        """Return the next line, None where none has come by then; lines are short, and so come whole."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout.fileno()], [], [], wait_s)[0]:
            return None
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self._process.stdout.fileno(), 1)
            assert byte, "the starter is gone"
            line += byte
        told: dict[str, int] = json.loads(line)
        return told


class Forked:
    """A program that a starter started, with as much of `Popen` as is wanted of it."""

    def __init__(self, starter: Starter, pid: int) -> None:
        self.pid = pid
        self._starter = starter
        starter.codes.pop(pid, None)

    @property
    def returncode(self) -> int | None:
        """Return its exit code, minus the signal that ended it, None while it runs."""
        return self._starter.codes.get(self.pid)

    def poll(self) -> int | None:
        """Look whether it has ended."""
        self._starter.listen()
        return self.returncode

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._starter.kill(self.pid)

    def wait(self) -> None:
        """Return when it has ended."""
        while self.poll() is None:
            self._starter.listen(UP_S)


# ---- the process ----------------------------------------------------------------------------------------------------


class Starting:
    """The loop of a starter."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._heard, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def run(self) -> None:
        """Do what is wished until nobody wishes any more; then end what still runs."""
        wishes = b""
        while True:
            ready, _, _ = select.select([0, self._heard], [], [])
            if self._heard in ready:
                os.read(self._heard, 4_096)
                self._bury()
            if 0 in ready:
                came = os.read(0, 65_536)
                if not came:
                    break
                *lines, wishes = (wishes + came).split(b"\n")
                for line in lines:
                    self._do(json.loads(line))
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)

    def _do(self, wish: dict[str, Any]) -> None:
        if "kill" in wish:
            if wish["kill"] in self._running:
                os.kill(wish["kill"], signal.SIGKILL)
            return
        pid = os.fork()
        if not pid:
            _become(wish)
        self._running.add(pid)
        _tell(pid=pid)

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                self._running.discard(found[0])
                _tell(ended=found[0], code=os.waitstatus_to_exitcode(found[1]))


def _tell(**told: int) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


def _become(wish: dict[str, Any]) -> NoReturn:
    """Be a program from its file on."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        out = os.open(wish["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        log = os.open(wish["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, file in enumerate((nothing, out, log)):
            os.dup2(file, number)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(wish["environment"])
        sys.argv = wish["start"]
        sys.path[0] = str(Path(sys.argv[0]).parent)
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        kind, error, trace = sys.exc_info()
        if kind is not None and error is not None:  # as Python itself tells what ends a program
            sys.excepthook(kind, error, trace)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _imports(file: str) -> list[str]:
    """Return the modules that a program imports at its top."""
    names = []
    for node in ast.parse(Path(file).read_text()).body:
        if isinstance(node, ast.Import):
            names += [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


def main() -> None:
    """Import, and start what is wished."""
    for name in (*(name for file in sys.argv[1:] for name in _imports(file)), *LATER):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert threading.active_count() == 1, "a library has started a thread: a fork would be without it"
    gc.collect()
    gc.freeze()
    _tell(ready=1)
    Starting().run()


if __name__ == "__main__":
    main()
