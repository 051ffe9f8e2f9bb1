"""The `Brains` port over processes: each incarnation thinks in a process of its own, forked from its file's zygote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from comity.core.errors import UsageError
from comity.core.ids import Id, show_id
from comity.journal.ports import Brain, Brains, Programs
from comity.journal.protocol import Stepped, Streamed, ToBrain, decode_from_brain, frame
from comity.journal.task import TaskRow
from comity.runtime.channel import Channel
from comity.runtime.zygote import Child
from comity.runtime.zygotes import Zygotes

OnStep = Callable[[Stepped], None]
OnGone = Callable[[str], None]

log = logging.getLogger("comity.runtime")


class BrainProcess:
    """A running brain, as the kernel sees it."""

    def __init__(self, on_step: OnStep, on_gone: OnGone) -> None:
        self._on_step = on_step
        self._on_gone = on_gone
        self._child: Child | None = None
        self._channel: Channel | None = None
        self._gone = asyncio.get_running_loop().create_future()
        self._why = ""

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._child.pid if self._child is not None else 0

    def connect(self, child: Child) -> None:
        """Begin to talk to the forked process."""
        self._child = child
        self._channel = Channel(child.sock, self._heard, self._silent)

    def send(self, message: ToBrain) -> None:
        """Queue a message; nothing happens once the brain is gone."""
        if self._channel is not None:
            self._channel.write(frame(message))

    def stream(self, piece: Streamed) -> None:
        """Leave it: no outside program is behind this."""

    async def kill(self) -> None:
        """End it with SIGKILL and return when it is dead."""
        self._end("")
        await asyncio.shield(self._gone)

    def exited(self, how: str) -> None:
        """Take note of its death: its last words first, then how it ended."""
        if self._channel is not None:
            self._channel.drain()
            self._channel.close()
        if not self._gone.done():
            self._gone.set_result(None)
            self._on_gone(f"{self._why}, then {how}" if self._why else how)

    def _heard(self, body: bytes) -> None:
        try:
            step = decode_from_brain(body)
        except msgspec.DecodeError:
            self._end("it sent what is no step")
            return
        is_taken = False
        try:
            self._on_step(step)
            is_taken = True
        finally:
            if not is_taken:  # a fault of ours; the next incarnation starts from what is in the journal
                self._end("the kernel could not take its step")

    def _silent(self) -> None:
        """End a process that closed its socket, or sent a frame beyond all limits, though it may run on."""
        self._end("")

    def _end(self, why: str) -> None:
        if self._child is not None and not self._gone.done():
            self._why = self._why or why
            self._child.kill()


class BrainsByKind:
    """Starts brains where their agent's kind has them: in a process here, or outside, where `brains` says who.

    `brains` is the gateway's; a node without one runs no outside programs.
    """

    def __init__(self, programs: Programs, inside: Brains) -> None:
        self._programs = programs
        self._inside = inside
        self.brains: Brains | None = None

    async def start(self, row: TaskRow, on_step: OnStep, on_gone: OnGone) -> Brain:
        """Start a brain for `row`'s agent.

        Raises:
            UsageError: it is an outside program, and this node has no gateway; else as `ProcessBrains.start`.
        """
        program = await self._programs.find(row.agent)
        spec = program.agent(row.agent) if program is not None else None
        if spec is None or spec.kind != "outside":
            return await self._inside.start(row, on_step, on_gone)
        if self.brains is None:
            raise UsageError("no_gateway", f"agent `{row.agent}` is an outside program", hint="`comity up` lets it in")
        return await self.brains.start(row, on_step, on_gone)


class ProcessBrains:
    """Starts brain processes. `pids` tells the process of each task that has one."""

    def __init__(self, zygotes: Zygotes, programs: Programs) -> None:
        self._zygotes = zygotes
        self._programs = programs
        self.pids: dict[Id, int] = {}

    async def start(self, row: TaskRow, on_step: OnStep, on_gone: OnGone) -> BrainProcess:
        """Fork a brain for `row`'s agent.

        Raises:
            UsageError: No file offers the agent, or it cannot be loaded.
            HandsError: The machine has no room for another process.
        """
        program = await self._programs.find(row.agent)
        if program is None:
            raise UsageError(
                "unknown_agent", f"no agent `{row.agent}`", hint="`comity agents` lists those that are registered"
            )
        who = f"brain {show_id(row.id)}"

        def gone(how: str) -> None:
            if self.pids.get(row.id) == brain.pid:
                del self.pids[row.id]
            log.info("%s (pid %d) is gone: %s", who, brain.pid, how)
            on_gone(how)

        brain = BrainProcess(on_step, gone)
        brain.connect(await self._zygotes.fork("brain", program.file, who, brain.exited))
        self.pids[row.id] = brain.pid
        log.info("%s has pid %d", who, brain.pid)
        return brain
