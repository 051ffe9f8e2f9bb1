"""Freeze a node at an exact step: the ports that the kernel leans on are wrapped, and name the points that they pass.

At the planned point the node stops dead, in the middle of what it does: nothing that it awaits comes back, nothing that
it sends arrives. What follows is what a SIGKILL leaves: the store, and the world.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

from comity.core.ids import Id
from comity.journal.call import Attempt, Call, Permit
from comity.journal.entry import Attempted, Intent, Outcome, Resolved, Waiting
from comity.journal.ports import Brain, Brains, Hand, Model, ModelRequest, OnProgress, Store
from comity.journal.protocol import Delta, Stepped, ToBrain
from comity.journal.spec import ToolSpec
from comity.journal.task import TaskRow
from comity.journal.unit import Answer, Unit


class Injector:
    """The points of one life of a node, counted on from those of its former lives; it freezes at each in `crashes`."""

    def __init__(self, crashes: Collection[int] = (), passed: int = 0) -> None:
        self._crashes = crashes
        self._passed_before = passed
        self.passed: list[str] = []
        self.frozen = asyncio.Event()

    @property
    def count(self) -> int:
        """Return how many points were passed, in this life and before."""
        return self._passed_before + len(self.passed)

    def is_frozen_at(self, label: str) -> bool:
        """Pass a point; tell whether the node is frozen, here or since earlier."""
        if self.frozen.is_set():
            return True
        if self.count in self._crashes:
            self.frozen.set()
        self.passed.append(label)
        return self.frozen.is_set()

    async def reach(self, label: str) -> None:
        """Pass a point; never return where the node is frozen."""
        if self.is_frozen_at(label):
            await self.hang()

    async def hang(self) -> None:
        """Never return."""
        await asyncio.Event().wait()

    def freeze(self, label: str) -> None:
        """Freeze here, whatever was planned."""
        self.passed.append(label)
        self.frozen.set()

    @property
    def place(self) -> str:
        """Return where the node was frozen."""
        return f"point {self.count - 1}: {self.passed[-1]}" if self.passed else "no point"


class CrashingStore:
    """A store whose every commit is two points: before it lands, and after it landed but before the caller learns."""

    def __init__(self, inner: Store, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector
        self.url = inner.url

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Commit, unless frozen before; tell, unless frozen after."""
        label = ", ".join(told(unit) for unit in units)
        await self._injector.reach(f"before commit of {label}")
        answers = await self._inner.commit(units)
        await self._injector.reach(f"after commit of {label}")
        return answers

    def watch(self, on_news: Callable[[], None], *, every: bool = False) -> Callable[[], None]:
        """Ring, unless frozen."""
        return self._inner.watch(lambda: None if self._injector.frozen.is_set() else on_news(), every=every)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def guarded(*args: Any, **given: Any) -> Any:
            if self._injector.frozen.is_set():
                await self._injector.hang()
            return await found(*args, **given)

        return guarded


class CrashingHand:
    """A hand: the points are before the attempt is sent, and after it ended but before the kernel learns."""

    def __init__(self, inner: Hand, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        """Perform, unless frozen."""
        await self._injector.reach(f"before hand performs {tool.name}")
        attempt = await self._inner.perform(permit, call, tool, on_progress)
        await self._injector.reach(f"after hand performed {tool.name}: {attempt.end}")
        return attempt

    async def cancel(self, permit: Permit) -> None:
        """End a running attempt."""
        await self._inner.cancel(permit)

    def release(self, task: Id) -> None:
        """Let go."""
        self._inner.release(task)


class CrashingModel:
    """A model: the points are before the request is sent, in the middle of the stream, and before its end is known."""

    def __init__(self, inner: Model, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector

    def limits(self, model: str) -> Any:
        """Return the inner model's."""
        return self._inner.limits(model)

    async def stream(self, permit: Permit, request: ModelRequest) -> AsyncIterator[Delta]:
        """Stream, unless frozen."""
        await self._injector.reach("before model streams")
        async for delta in self._inner.stream(permit, request):
            await self._injector.reach("model streamed a delta")
            yield delta


class CrashingBrains:
    """Brains: the points are each message to a brain and each step from it."""

    def __init__(self, inner: Brains, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector

    async def start(self, row: TaskRow, on_step: Callable[[Stepped], None], on_gone: Callable[[str], None]) -> Brain:
        """Start a brain that is not heard once frozen."""
        await self._injector.reach("before brain starts")

        def stepped(step: Stepped) -> None:
            if not self._injector.is_frozen_at(f"brain stepped: {len(step.calls)} calls"):
                on_step(step)

        return _CrashingBrain(await self._inner.start(row, stepped, on_gone), self._injector)


class _CrashingBrain:
    def __init__(self, inner: Brain, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector

    def send(self, message: ToBrain) -> None:
        if not self._injector.is_frozen_at(f"before brain hears {type(message).__name__}"):
            self._inner.send(message)

    async def kill(self) -> None:
        await self._inner.kill()


def told(unit: Unit) -> str:
    """Return what a unit writes, in a few words."""
    words = []
    for item in unit.entries:
        body = item.read()
        name = ""
        if isinstance(body, Intent | Waiting | Outcome) and body.asked is not None:
            name = f" {body.asked.name}"
        elif isinstance(body, Outcome | Resolved | Attempted):
            name = f" {body.call}"
        words.append(f"{type(body).__name__}{name}")
    if unit.transition is not None:
        words.append(f"→{unit.transition.state}")
    words += ["spawn" for _ in unit.spawns] + ["send" for _ in unit.sends]
    return "+".join(words) or "state"
