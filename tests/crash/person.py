"""The operator of the crash tests: does what a person would, and no more.

Answers questions, and settles what is in doubt by looking at what happened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from comity.core.clock import SystemClock
from comity.core.codec import decode
from comity.core.entropy import SystemEntropy
from comity.core.errors import UsageError
from comity.core.ids import Id
from comity.journal.ports import Store, TaskFilter
from comity.journal.task import ParkReason, State, TaskRow
from comity.runtime.orders import Orders

DONE = {
    "announce": "announced {ref}",
    "idempotent": "did {ref}",
    "irreversible": "did {ref}",
}
"""What a tool returns that a person may have to vouch for."""

Look = Callable[[str, dict[str, Any]], int | None]
"""Tells whether an effect stands: by a tool's name and arguments."""


class Operator:
    """A person with orders to a store and an eye on the book; looks after `tasks` and their children."""

    def __init__(self, store: Store, look: Look) -> None:
        self.orders = Orders(store, SystemClock(), SystemEntropy(), "ada")
        self.store = store
        self.tasks: list[Id] = []
        self.parked: list[tuple[str, str]] = []
        self.left_alone: set[str] = set()
        self.done = dict(DONE)
        self._look = look

    async def rows(self) -> list[TaskRow]:
        """Return the tasks that are looked after, and their children."""
        found = [await self.orders.row(task) for task in self.tasks]
        for task in self.tasks:
            found += await self.store.tasks(TaskFilter(parent=task))
        return found

    async def look_around(self) -> bool:
        """Answer what is asked, settle what is in doubt; tell whether every task has ended."""
        await self.answer_questions()
        rows = await self.rows()
        await self.settle_doubts([row for row in rows if row.state is State.PARKED])
        return all(row.state.ended for row in rows)

    async def answer_questions(self) -> None:
        """Say yes to whatever is asked."""
        for question in await self.orders.questions():
            with contextlib.suppress(UsageError):  # the first answer was taken a moment ago
                await self.orders.answer(question.task, question.call, "yes")

    async def settle_doubts(self, parked: list[TaskRow]) -> None:
        """Say what happened, as the book has it."""
        for row in parked:
            if row.reason in self.left_alone:
                continue
            assert row.reason == ParkReason.IN_DOUBT, f"a task is parked: {row.reason}"
            ledger = await self.orders.ledger(row.id)
            for record in await self.orders.in_doubt(row.id):
                if record.seq in ledger.resolutions or any(
                    message.name == "resolve" for message in await self.store.inbox(row.id)
                ):
                    continue
                name, args = record.key.name, decode(record.args.inline or b"null")
                self.parked.append((name, record.unknown))
                with contextlib.suppress(UsageError):  # it was settled a moment ago
                    if self._look(name, args) is None:
                        await self.orders.resolve(row.id, record.seq, "again")
                    else:
                        done = self.done[name].format(**args)
                        await self.orders.resolve(row.id, record.seq, "happened", result=done)
