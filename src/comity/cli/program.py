"""A supervisor: it keeps a program going as the agent of a task, one incarnation after the other, until it is done.

Exit code 0 ends the task; anything else is a crash, after which the program begins anew and recalls what it did. A task
that takes no more calls ends its program; silence does not: what is slow is not ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from comity.cli.exits import Exit
from comity.cli.lines import at_hand
from comity.cli.next_steps import way_on
from comity.cli.program_environment import where_the_gateway_is
from comity.cli.program_task import ProgramTask, has_left
from comity.cli.screen import Screen
from comity.core.clock import Clock
from comity.journal.task import ParkReason, State
from comity.runtime.forking import how_it_ended
from comity.runtime.isolation import Isolation
from comity.runtime.launched import ProgramProcess
from comity.runtime.launching import Launch
from comity.runtime.words import one_line, short, span
from comity.server.documents import AccountDocument

GRACE_S = 10.0
"""So long a program has to end when it is told to."""
TYPED_GRACE_S = 3.0
"""So long one has to end by the Ctrl-C that it got itself."""
PARK_S_MAX = 5.0
PAUSE_S, PAUSE_S_MAX = 0.5, 30.0
BY_CTRL_C = (-signal.SIGINT, 128 + signal.SIGINT)


@dataclass(frozen=True)
class Wanted:
    """The program: its command, environment and isolation, and whether it is started again after a crash."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    assigned: Mapping[str, str]
    isolation: Isolation
    is_restarted: bool


@contextmanager
def may_leave() -> Iterator[asyncio.Event]:
    """Give an event that Ctrl-C or SIGTERM sets; the second one ends this process at once."""
    leaving = asyncio.Event()

    def wish() -> None:
        if leaving.is_set():
            os._exit(Exit.INTERRUPTED)  # the guardians end the program and drain the node
        leaving.set()

    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, wish)
    try:
        yield leaving
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class Supervisor:
    """Runs a task's program."""

    def __init__(self, screen: Screen, clock: Clock, task: ProgramTask, wanted: Wanted, leaving: asyncio.Event) -> None:
        """Work on `task` with the program that is wanted, until the user is `leaving`."""
        self._screen = screen
        self._clock = clock
        self._task = task
        self._wanted = wanted
        self._leaving = leaving
        self._has_terminal = _is_in_foreground()
        self._watching: asyncio.Task[None] | None = None
        self._has_told_of_silence = False
        self._told: set[int] = set()

    async def run(self) -> None:
        """Return when the task has ended or needs a person, or the user has interrupted it.

        Raises:
            ComityError: the program cannot be started, or the server refuses.
        """
        self._watching = asyncio.create_task(self._task.watch())
        try:
            await self._lives()
            if self._leaving.is_set():
                await self._pause()
        finally:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _lives(self) -> None:
        """Start the program until it is over."""
        idle, calls = 0, len(self._task.account.calls)
        while True:
            before = (await self._task.look()).last_seq
            adopted = await self._task.adopt()
            if idle and await self._is_parked_by(self._pause_s(idle), before):
                return
            environment = {**self._wanted.environment, **where_the_gateway_is(adopted, self._wanted.assigned)}
            status = await self._live(environment, before)
            if status is None or await self._is_over(status, before):
                return
            now = len(self._task.account.calls)
            idle, calls = (1 if now > calls else idle + 1), now
            again = f"; it begins anew in {span(self._pause_s(idle))}, and recalls what it did"
            self._screen.note((f"the program ended with {how_it_ended(status)}", "yellow"), (again, "dim"))

    def _pause_s(self, idle: int) -> float:
        """Return how long to wait after so many lives in a row that left nothing."""
        return float(min(PAUSE_S * 2 ** (idle - 1), PAUSE_S_MAX))

    async def _is_parked_by(self, pause_s: float, before: int) -> bool:
        """Wait before another life; tell whether there is none: the task is parked by then, or the user left."""
        pausing = asyncio.create_task(self._clock.sleep(pause_s))
        try:
            while not pausing.done() and not self._leaving.is_set():
                await self._news(pausing)
        finally:
            pausing.cancel()
        return self._leaving.is_set() or _has_left_since(before, await self._task.look())

    async def _live(self, environment: dict[str, str], before: int) -> int | None:
        """Run the program once; return how it ended by itself, None where it was ended.

        `before` is the task's last entry when it was adopted: what is older says nothing about this life.
        """
        wanted = self._wanted
        process = await ProgramProcess.start(
            Launch(wanted.command, environment, wanted.isolation, has_terminal=self._has_terminal),
            os.environ,
            stdin=subprocess.DEVNULL if sys.stdin.isatty() and not self._has_terminal else None,
            stdout=sys.stderr if self._screen.is_json else None,
        )
        ended = asyncio.create_task(process.wait())
        try:
            while not ended.done():
                if self._leaving.is_set():
                    await self._end(process)
                    return None
                if self._takes_no_calls(before):
                    self._screen.note((f"the task is {_state(self._task.account)}; its program is ended", "yellow"))
                    await process.end(GRACE_S)
                    return None
                self._tell_questions()
                await self._news(ended)
            return ended.result()
        finally:
            if not process.has_ended:
                process.send(signal.SIGKILL)
            await ended

    async def _is_over(self, status: int, before: int) -> bool:
        """Tell whether there is no other life after one that ended by itself."""
        account = await self._task.look()
        if self._has_terminal and status in BY_CTRL_C:
            self._leaving.set()
        if account.state.ended or self._leaving.is_set() or self._takes_no_calls(before):
            return True
        if status != 0 and self._wanted.is_restarted:
            return False
        before = account.last_seq
        await self._task.finish("" if status == 0 else f"the program ended with {how_it_ended(status)}")
        while not self._leaving.is_set() and not _has_left_since(before, self._task.account):
            await self._news()
        return True

    def _takes_no_calls(self, before: int) -> bool:
        """Tell whether the task has no use for a program; a program that was silent for long is heard again."""
        account = self._task.account
        if account.state in (State.CANCELLING, State.CANCELLED):
            return True
        is_parked = account.state is State.PARKED and account.last_seq > before
        if not is_parked or account.reason != ParkReason.STALLED:
            return is_parked
        if not self._has_told_of_silence:
            self._screen.note(("nothing was heard of the program for long; its next call is taken all the same", "dim"))
            self._has_told_of_silence = True
        return False

    def _tell_questions(self) -> None:
        """Say what the program asks, and how it is answered: it waits for that."""
        account = self._task.account
        for call in account.calls:
            if call.call in account.questions and call.call not in self._told:
                self._told.add(call.call)
                asked = at_hand(call.args)
                self._screen.note(
                    ("? ", "blue"), one_line(asked["question"] if isinstance(asked, dict) else asked, 200)
                )
                step = way_on(call.kind, call.name, asked, short(account.id))
                self._screen.note("  ", (step[0] if step else "", "bold"))

    async def _end(self, process: ProgramProcess) -> None:
        """End a program that the user wants to end: one in the terminal has got the Ctrl-C itself."""
        self._screen.note(("ends the program; nothing is lost. Ctrl-C again quits at once", "dim"))
        if self._has_terminal:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), TYPED_GRACE_S)
        await process.end(GRACE_S)

    async def _pause(self) -> None:
        """Park the task, so that nobody waits for its program."""
        before = (await self._task.look()).last_seq
        await self._task.pause()
        try:
            await asyncio.wait_for(self._task.until(lambda now: _has_left_since(before, now)), PARK_S_MAX)
        except TimeoutError:
            self._screen.note(("a call is under way; the task parks when it has ended", "dim"))

    async def _news(self, *others: asyncio.Task[Any]) -> None:
        """Return when one of `others` is done, the task has changed, or the user interrupts.

        Raises:
            ComityError: the task can be watched no more.
        """
        assert self._watching is not None, "it runs"
        news = [asyncio.create_task(event.wait()) for event in (self._task.changed, self._leaving)]
        watching = [] if self._watching.done() else [self._watching]
        await asyncio.wait({*others, *news, *watching}, return_when=asyncio.FIRST_COMPLETED)
        self._task.changed.clear()
        for waiting in news:
            waiting.cancel()
        if self._watching.done():
            self._watching.result()


def _state(account: AccountDocument) -> str:
    return f"{account.state}: {account.reason}" if account.reason else str(account.state)


def _has_left_since(before: int, account: AccountDocument) -> bool:
    return account.state.ended or (has_left(account) and account.last_seq > before)


def _is_in_foreground() -> bool:
    """Tell whether what is typed in a terminal comes here."""
    return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
