"""Real processes for a test: zygotes, brains and hands of one agent file, and what outsiders see of a process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from comity.core.clock import SystemClock
from comity.core.entropy import SystemEntropy
from comity.core.ids import Id, new_id
from comity.hands.masks import Masks
from comity.journal.call import Attempt, Call, Permit
from comity.journal.protocol import Start, Stepped
from comity.journal.spec import Program
from comity.journal.task import State, TaskRow
from comity.runtime.brains import BrainProcess, ProcessBrains
from comity.runtime.hands import ProcessHands
from comity.runtime.isolation import Isolation
from comity.runtime.zygote import ZygoteSettings
from comity.runtime.zygotes import Zygotes

CLOCK = SystemClock()
HEAD = """
import asyncio, os, random, signal, subprocess, sys, threading, time
from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.core.errors import NotHappened
from comity.journal.call import CallContext
from comity.journal.performing import ensure_permit, report

@agent
async def idle(ctx: Context) -> None:
    await ctx.sleep(1000)
"""
"""What every agent file of a test begins with; a file offers at least one agent."""


def new_task() -> Id:
    return new_id(CLOCK, SystemEntropy())


def permit(task: Id, call: int = 1, seconds: float = 30.0) -> Permit:
    return Permit(task, call, 1, CLOCK.monotonic_s() + seconds, f"key-{call}")


def write(path: Path, source: str) -> str:
    path.write_text(HEAD + source, encoding="utf-8")
    return str(path)


def row(task: Id, agent: str) -> TaskRow:
    texts = {"tenant": "default", "session": "", "agent_version": "", "goal": "", "reason": "", "queue": "default"}
    keys = {"node": b"", "lease_id": b"", "parent": b"", "dedupe": "", "concurrency_key": ""}
    numbers = ("priority", "not_before_us", "epoch", "incarnation", "last_seq", "concurrency_limit", "created_us")
    return TaskRow(
        id=task, agent=agent, state=State.RUNNING, updated_us=0, **texts, **keys, **dict.fromkeys(numbers, 0)
    )


@dataclass
class Watched:
    """A brain and what was heard of it."""

    brain: BrainProcess
    steps: list[Stepped] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """One agent file's processes."""

    file: str
    zygotes: Zygotes
    hands: ProcessHands
    brains: ProcessBrains
    lines: list[tuple[str, str]]
    program: Program
    progress: list[tuple[str, float | None]] = field(default_factory=list)

    async def find(self, agent: str) -> Program | None:
        return self.program if self.program.agent(agent) else None

    async def perform(self, tool: str, args: bytes = b"{}", *, with_permit: Permit | None = None) -> Attempt:
        spec = self.program.tool(tool)
        assert spec is not None
        tell = lambda text, fraction: self.progress.append((text, fraction))  # noqa: E731
        return await self.hands.perform(with_permit or permit(new_task()), Call("", "tool", tool, 0, args), spec, tell)

    async def start_brain(self, agent: str, task: Id | None = None, goal: bytes = b'""') -> Watched:
        task = task or new_task()
        steps: list[Stepped] = []
        ends: list[str] = []
        brain = await self.brains.start(row(task, agent), steps.append, ends.append)
        brain.send(Start(task, agent, goal, 1))
        return Watched(brain, steps, ends)


@asynccontextmanager
async def staged(
    file: str,
    *,
    lock_fd: int = -1,
    hand_env: tuple[str, ...] = (),
    secrets: tuple[str, ...] = (),
    isolation: Isolation | None = None,
) -> AsyncIterator[Stage]:
    """Start what serves `file`; end all of it."""
    lines: list[tuple[str, str]] = []
    tell = lambda who, line: lines.append((who, line))  # noqa: E731
    zygotes = Zygotes(ZygoteSettings(tell, hand_env, lock_fd, isolation=isolation))

    async def file_of(task: Id) -> str:
        return file

    stage = Stage(file, zygotes, ProcessHands(zygotes, file_of, Masks(secrets)), None, lines, None)  # type: ignore[arg-type]
    try:
        stage.program = await zygotes.describe(file)
        stage.brains = ProcessBrains(zygotes, stage)
        yield stage
    finally:
        await zygotes.close()


def is_gone(pid: int) -> bool:
    """Whether a process is no more, or has ended and only waits to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was executed with, as far as this user may see it."""
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    except PermissionError:  # it hides, and nobody here has the power to look all the same
        return {}
    return dict(pair.split("=", 1) for pair in pairs if pair)
