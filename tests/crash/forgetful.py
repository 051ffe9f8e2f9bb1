"""A store that forgets intents in a crash: what the matrix must notice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comity.core.ids import Id
from comity.journal.entry import Intent
from comity.journal.unit import Answer, Receipt, TaskSubject, Unit
from comity.testing import MemoryStore


class ForgetfulStore:
    """Answers an intent before it is durable: it is written with the task's next unit, and a crash loses it."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner
        self._late: dict[Id, list[Unit]] = {}
        self.url = inner.url
        self.forgotten = 0

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Write each unit after the intents that were put off for its task; put off its own."""
        answers: list[Answer] = []
        for unit in units:
            subject = unit.subject
            late = self._late.pop(subject.task, []) if isinstance(subject, TaskSubject) else []
            if late:
                await self._inner.commit(late)
            if isinstance(subject, TaskSubject) and any(isinstance(item.read(), Intent) for item in unit.entries):
                self._late[subject.task] = [unit]
                answers.append(Receipt())
            else:
                answers += await self._inner.commit([unit])
        return answers

    def crash(self) -> None:
        """Forget what was put off."""
        self.forgotten += len(self._late)
        self._late.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
