"""The processes of a conformance test: services that print where they listen, and agents that print how it went."""

from __future__ import annotations

import functools
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from comity.testing.waiting import wait_until
from conformance.programs import PROGRAMS, Program
from conformance.starter import Forked, Starter

TESTS = Path(__file__).parents[1]
PATHS = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
"""Where processes find these tests, and the Comity beside them."""
UP_S = 60.0
AGENT_S = 180.0
LOG_MAX = 3_000


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what could lead a client astray, and with `environment`."""
    strays = ("COMITY_", "OPENAI_", "ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strays)}
    return {**kept, **environment}


class Service:
    """A process of this folder that prints its port, or ports, and ends with this one: for the length of a `with`."""

    def __init__(self, module: str, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = module
        self.log = folder / f"{module}.log"
        self._environment = clean({"PYTHONPATH": PATHS, **(environment or {})})
        self.ports: list[int] = []

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"conformance.{self.name}"],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], UP_S)
        line = self._process.stdout.readline() if ready else b""
        assert line, f"{self.name} did not start:\n{tail(self.log)}"
        self.ports = [int(word) for word in line.split()]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    @property
    def url(self) -> str:
        """Return where it serves HTTP."""
        return f"http://127.0.0.1:{self.ports[0]}"


@functools.cache
def starter_of(needs: str) -> Starter:
    """Return what starts the Python programs that need the same packages."""
    programs = [program for program in PROGRAMS if program.is_python and program.needs == needs]
    paths = [programs[0].variables(is_stream=False).get("PYTHONPATH", ""), str(TESTS)]
    files = dict.fromkeys(program.command[1] for program in programs)
    return Starter([*files], clean({"PYTHONPATH": os.pathsep.join(path for path in paths if path)}))


class Agent:
    """A process of a program: one incarnation of an agent."""

    def __init__(self, program: Program, goal: str, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self.program = program
        self._out = log.with_suffix(".out")
        self._process = self._started([*program.command, goal], clean(environment))

    def _started(self, command: list[str], environment: Mapping[str, str]) -> Forked | subprocess.Popen[bytes]:
        if self.program.is_python:
            starter = starter_of(self.program.needs)
            return starter.start(command[1:], environment, self.log, self._out)
        with self.log.open("ab") as errors, self._out.open("wb") as out:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it with SIGKILL, and return when it is gone."""
        self._process.kill()
        self._process.wait()

    async def wait(self, deadline_s: float = AGENT_S) -> int:
        """Return its exit code once it has ended.

        Raises:
            AssertionError: It did not end in time; then it is killed.
        """
        try:
            await wait_until(lambda: not self.is_alive, deadline_s, f"the end of {self.program.name}")
        except AssertionError:
            self.kill()
            raise
        assert self._process.returncode is not None
        return self._process.returncode

    @property
    def answer(self) -> str:
        """Return the answer that it printed, empty where it printed none."""
        lines = self._out.read_text().splitlines()
        return str(json.loads(lines[-1])["answer"]) if lines else ""


class FrontControl:
    """What a test says to the front."""

    def __init__(self, service: Service) -> None:
        self.url = service.url
        self._port = service.ports[1]

    def backends(self, *ports: int) -> None:
        """Send requests to these ports, in turn."""
        self._ask(op="backends", ports=ports)

    def hold(self, key: str, kind: str, number: int) -> None:
        """Hold the last byte of the answer to the n-th request of a key and kind."""
        self._ask(op="hold", name=f"{key} {kind} {number}")

    def release(self, key: str, kind: str, number: int) -> None:
        """Let it go."""
        self._ask(op="release", name=f"{key} {kind} {number}")

    def seen(self, key: str, kind: str) -> int:
        """Return how many requests of a key and kind have come."""
        return int(self._ask(op="look")["seen"].get(f"{key} {kind}", 0))

    def is_held(self, key: str, kind: str, number: int) -> bool:
        """Tell whether that answer has come as far as its last byte."""
        return f"{key} {kind} {number}" in self._ask(op="look")["held"]

    def _ask(self, **wish: Any) -> Any:
        with socket.create_connection(("127.0.0.1", self._port)) as connection, connection.makefile("rwb") as file:
            file.write(json.dumps(wish).encode() + b"\n")
            file.flush()
            return json.loads(file.readline())


def size(log: Path) -> int:
    """Return how much a log holds."""
    return log.stat().st_size if log.exists() else 0


def tail(log: Path, since: int = 0) -> str:
    """Return the end of what a log got since it held so much."""
    return log.read_bytes()[since:][-LOG_MAX:].decode(errors="replace") if log.exists() else ""


def show(logs: Mapping[Path, int]) -> str:
    """Return the ends of logs, each since it held so much, for a failure's message."""
    return "\n".join(f"---- {log.name} ----\n{tail(log, since)}" for log, since in logs.items())
