"""The `comity` command with a plan that says before or after which commit to kill it with SIGKILL.

Run as `python -m conformance.driver KILL.json ARGUMENTS…`. The plan is a file that may come and go while the process
runs: `{"task", "kind", "name", "phase", "when"}`. It is taken away as it is carried out, so that it strikes once over
all lives.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from comity.cli.main import main
from comity.core.ids import Id, show_id
from comity.journal.entry import Intent
from comity.journal.unit import Answer, TaskSubject, Unit
from comity.runtime.hardening import die_with_parent
from comity.stores.postgres import PostgresStore
from comity.stores.sqlite import SqliteStore

Commit = Callable[[Any, Sequence[Unit]], Awaitable[Sequence[Answer]]]


class Killer:
    """Looks at each commit for the entry that a plan names."""

    def __init__(self, plan: Path) -> None:
        self._plan = plan
        self._names: dict[tuple[Id, int], str] = {}

    def reach(self, units: Sequence[Unit], when: str) -> None:
        """Pass a commit; `when` is `before` or `after` it."""
        points = [point for unit in units for point in self._points(unit)]
        if not self._plan.exists():
            return
        plan = json.loads(self._plan.read_text())
        for task, kind, phase, name in points:
            wanted = (plan["task"], plan["kind"], plan["phase"], plan["when"])
            if wanted == (task, kind, phase, when) and name.endswith(plan["name"]):
                self._plan.unlink()
                os.kill(os.getpid(), signal.SIGKILL)

    def _points(self, unit: Unit) -> list[tuple[str, str, str, str]]:
        if not isinstance(unit.subject, TaskSubject):
            return []
        task = unit.subject.task
        found = []
        for item in unit.entries:
            body = item.read()
            if isinstance(body, Intent):
                self._names[task, item.seq] = body.asked.name
            asked = getattr(body, "asked", None)
            name = asked.name if asked is not None else self._names.get((task, getattr(body, "call", 0)), "")
            found.append((show_id(task), item.kind, item.phase, name))
        return found


def watched(commit: Commit, killer: Killer) -> Commit:
    """Return a store's `commit` with a point before and one after it."""

    async def commit_between(self: Any, units: Sequence[Unit]) -> Sequence[Answer]:
        killer.reach(units, "before")
        answers = await commit(self, units)
        killer.reach(units, "after")
        return answers

    return commit_between


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL, os.getppid())
    planned = Killer(Path(sys.argv.pop(1)))
    for store in (SqliteStore, PostgresStore):
        store.commit = watched(store.commit, planned)  # type: ignore[method-assign]
    main()
