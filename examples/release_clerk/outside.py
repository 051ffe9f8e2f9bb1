"""The chapter `outside`: somebody else's agent, unchanged, killed right after it booked a room; it books one room.

The agent is a script of the OpenAI Agents SDK (`examples/outside`), its tools an MCP server, its model a stand-in that
needs no key. None of them knows of Comity.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from narrator import Narrator
from told import Line

from comity.testing.waiting import wait_until

PARTS = Path(__file__).resolve().parent.parent / "outside"
DEADLINE_S = 40.0
SERVE = "import sys, hotel; hotel.server.run('streamable-http', port=int(sys.argv[1]))"
INTRODUCTION = """\
An agent written with the OpenAI Agents SDK books a room at a hotel's MCP server. It knows nothing of Comity. It is \
killed with SIGKILL when the room is booked and before it heard so; then it is started again."""
CONFIG = """\
[upstreams.provider]
base_url = "http://127.0.0.1:{port}/v1"

[models."*"]
upstream = "provider"

[upstreams.hotel]
kind = "mcp"
command = ["{python}", "hotel.py"]

[tools."hotel.look"]
effect = "read"
"""


class OutsideFailed(Exception):
    """The chapter did not show what it promises."""


class Outside:
    """The chapter."""

    def __init__(self, narrator: Narrator, folder: Path) -> None:
        """Work in `folder`."""
        self._narrator = narrator
        self._folder = folder

    async def play(self) -> None:
        """Play it, and check what came of it."""
        self._narrator.title("make demo: outside", INTRODUCTION)
        booked, thought = await self._with_comity()
        plain_booked, plain_thought = await self._without()
        self._narrator.heading("What hotel and provider counted")
        rows = (
            ("rooms booked", str(booked), str(plain_booked)),
            ("thoughts paid for", str(thought), str(plain_thought)),
        )
        self._narrator.table(("killed once after the booking", "with Comity", "without"), rows)
        if booked != 1 or plain_booked != 2 or thought >= plain_thought:
            raise OutsideFailed(f"booked {booked} and {plain_booked} rooms, paid for {thought} and {plain_thought}")
        self._narrator.heading(f"One room, in {self._narrator.seconds:.1f} s.")

    async def _with_comity(self) -> tuple[int, int]:
        self._narrator.heading("comity run --env MCP_URL={mcp} -- python agent.py")
        folder = self._laid_out("comity")
        with served(folder, "model.py") as port:
            config = CONFIG.format(port=port, python=sys.executable)
            (folder / "comity.toml").write_text(config, encoding="utf-8")
            command = [
                sys.executable,
                "-m",
                "comity",
                "run",
                "--env",
                "MCP_URL={mcp}",
                "--",
                sys.executable,
                "agent.py",
            ]
            with running(command, folder, {"COMITY_HOME": str(self._folder / "home")}) as run:
                first = await self._kill_after_booking(folder, run)

                def begun_again() -> bool:
                    return any(pid != first for pid in pids_of(folder))

                await waited(begun_again, run, "the agent to be started again")
                self._narrator.line(
                    Line("●", "comity run", "starts it again: what was thought and done is recalled", "cyan")
                )
                (folder / "hold").unlink()
                self._tell(run.communicate(timeout=DEADLINE_S)[0], run.returncode)
        return counted(folder)

    async def _without(self) -> tuple[int, int]:
        self._narrator.heading("python agent.py, twice, since the first one was killed")
        folder = self._laid_out("plain")
        with served(folder, "model.py") as port, served(folder, "-c", SERVE) as hotel:
            environment = {
                "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
                "OPENAI_API_KEY": "none",
                "OPENAI_AGENTS_DISABLE_TRACING": "1",
                "MCP_URL": f"http://127.0.0.1:{hotel}/mcp",
            }
            with running([sys.executable, "agent.py"], folder, environment) as run:
                await self._kill_after_booking(folder, run)
            (folder / "hold").unlink()
            with running([sys.executable, "agent.py"], folder, environment) as run:
                self._tell(run.communicate(timeout=DEADLINE_S)[0], run.returncode)
        return counted(folder)

    async def _kill_after_booking(self, folder: Path, run: subprocess.Popen[str]) -> int:
        await waited((folder / "bookings.txt").is_file, run, "the room to be booked")
        booked = (folder / "bookings.txt").read_text(encoding="utf-8").strip()
        self._narrator.line(Line("✎", "hotel", f"{booked}: booked, and its answer is on the way", ""))
        (pid,) = pids_of(folder)
        os.kill(pid, signal.SIGKILL)
        self._narrator.killed("agent", pid)
        return pid

    def _tell(self, said: str, code: int) -> None:
        if code:
            raise OutsideFailed(f"the agent ended with exit code {code}: {said[-2_000:]}")
        answer = next((line for line in reversed(said.splitlines()) if "Lisbon" in line), said[-200:])
        self._narrator.line(Line("■", "agent", answer, ""))

    def _laid_out(self, name: str) -> Path:
        """Make a folder with the agent and its hotel, whose answers are held."""
        folder = self._folder / name
        folder.mkdir()
        for part in ("hotel.py", "model.py", "openai-agents/agent.py"):
            shutil.copy(PARTS / part, folder)
        (folder / "hold").touch()
        return folder


def counted(folder: Path) -> tuple[int, int]:
    """Return how many rooms were booked, and how many thoughts paid for."""
    booked, thought = (folder / name for name in ("bookings.txt", "thoughts.txt"))
    return lines_of(booked), lines_of(thought)


def lines_of(file: Path) -> int:
    """Return how many lines a file has."""
    return len(file.read_text(encoding="utf-8").splitlines())


def pids_of(folder: Path) -> list[int]:
    """Return the processes that run this folder's `agent.py`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else []
            if words[1:] == [b"agent.py", b""] and (entry / "cwd").resolve() == folder.resolve():
                found.append(int(entry.name))
        except OSError:
            continue  # it has just ended
    return found


async def waited(condition: Callable[[], bool], run: subprocess.Popen[str], what: str) -> None:
    """Wait until `condition` holds.

    Raises:
        OutsideFailed: it did not in time, or the program ended first.
    """
    try:
        await wait_until(lambda: condition() or run.poll() is not None, DEADLINE_S, what)
    except AssertionError as error:
        raise OutsideFailed(str(error)) from None
    if not condition():
        raise OutsideFailed(f"the program ended while waiting for {what}: {run.communicate()[0][-2_000:]}")


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command in `folder`; whatever of it still runs is ended."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMITY_", "OPENAI_"))}
    run: subprocess.Popen[str] = subprocess.Popen(
        command,
        cwd=folder,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


@contextmanager
def served(folder: Path, *command: Any) -> Iterator[int]:
    """Run a server of `folder` on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with subprocess.Popen([sys.executable, *command, str(port)], cwd=folder, stderr=subprocess.DEVNULL) as server:
        try:
            yield port
        finally:
            server.kill()
