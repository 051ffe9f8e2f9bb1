"""The `Brains` port inside this process: the kernel's loop steps them. For embedded runs, notebooks and benchmarks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from comity.agents.stepper import Stepper
from comity.core.errors import UsageError
from comity.journal.program import Loaded
from comity.journal.protocol import Start, Stepped, Streamed, ToBrain
from comity.journal.task import TaskRow

FindLoaded = Callable[[str], Loaded | None]
"""Gives what offers an agent, by the agent's name."""


class InlineBrain:
    """A stepper that the loop runs: each message is a step, soon, and never inside of `send`."""

    def __init__(self, stepper: Stepper, on_step: Callable[[Stepped], None], on_gone: Callable[[str], None]) -> None:
        self._stepper: Stepper | None = stepper
        self._on_step = on_step
        self._on_gone = on_gone
        self._inbox: deque[ToBrain] = deque()
        self._loop = asyncio.get_running_loop()

    def send(self, message: ToBrain) -> None:
        """Queue a message; nothing happens once the brain is gone."""
        if not self._inbox:
            self._loop.call_soon(self._step_all)
        self._inbox.append(message)

    def stream(self, piece: Streamed) -> None:
        """Leave it: no outside program is behind this."""

    async def kill(self) -> None:
        """End it: nothing that it does is heard any more."""
        self._end("killed")

    def _step_all(self) -> None:
        try:
            while self._inbox and self._stepper is not None:
                message = self._inbox[0]
                step = self._stepper.start(message) if isinstance(message, Start) else self._stepper.deliver(message)
                self._on_step(step)
                self._inbox.popleft()
        except BaseException as error:
            # The stepper answers for what agents raise: this is a fault of ours, or the interpreter's end.
            self._end(f"{type(error).__name__}: {error}")
            raise

    def _end(self, how: str) -> None:
        stepper, self._stepper = self._stepper, None
        self._inbox.clear()
        if stepper is not None:
            stepper.close()
            self._on_gone(how)


class InlineBrains:
    """Starts brains in this process."""

    def __init__(self, find: FindLoaded) -> None:
        self._find = find

    async def start(
        self, row: TaskRow, on_step: Callable[[Stepped], None], on_gone: Callable[[str], None]
    ) -> InlineBrain:
        """Make a stepper for `row`'s agent.

        Raises:
            UsageError: Nothing here offers the agent.
        """
        loaded = self._find(row.agent)
        if loaded is None:
            raise UsageError("unknown_agent", f"no agent `{row.agent}`", hint="give it to this run")
        return InlineBrain(Stepper(loaded.agents), on_step, on_gone)
