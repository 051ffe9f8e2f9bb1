"""Fork: a new task from an entry of another, with changed goal, model or code; rehearsed unless it is made live."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from comity.core.errors import UsageError
from comity.core.ids import Id, show_id
from comity.journal.call import Kind
from comity.journal.entry import Created, Entry, entry
from comity.journal.segment import payload
from comity.journal.task import NewTask, TaskRow
from comity.kernel.create import preview
from comity.kernel.ledger import Ledger


class Changes(msgspec.Struct, frozen=True):
    """What a fork changes: `goal` (canonical JSON), the `model`, and whether its effects are performed (`live`)."""

    goal: bytes = b""
    model: str = ""
    live: bool = False


def fork(id: Id, row: TaskRow, entries: Sequence[Entry], at: int, changes: Changes, at_us: int) -> NewTask:
    """Return the task that goes on from entry `at` of another as if the rest had not been.

    Raises:
        UsageError: there is no such entry.
    """
    if not 1 <= at <= len(entries):
        raise UsageError(
            "no_such_entry",
            f"task `{show_id(row.id)}` has no entry `{at}`",
            hint=f"it has 1 to {len(entries)}; `comity tasks show {show_id(row.id)}` lists them",
        )
    created = entries[0].read()
    assert isinstance(created, Created)
    held, _ = payload(changes.goal) if changes.goal else (created.goal, None)
    first = msgspec.structs.replace(
        created,
        goal=held,
        session="",
        parent=b"",
        forked_from=row.id,
        forked_at=at,
        live=changes.live,
        model=changes.model or created.model,
    )
    copied = (entry(1, "", Kind.TASK, at_us, first), *entries[1:at])
    return NewTask(
        id,
        row.agent,
        row.agent_version,
        preview(changes.goal) if changes.goal else row.goal,
        row.tenant,
        "",
        row.queue,
        row.priority,
        entries=copied,
    )


def could_happen_again(task: Id, entries: Sequence[Entry], at: int) -> list[str]:
    """Return the effects behind entry `at` that a live fork may perform once more, one line each."""
    ledger = Ledger(task).replay(entries)
    return [
        f"call {record.seq}: {record.key.name} ({record.effect})"
        + (", held by its business key" if record.once else "")
        for record in ledger.calls.values()
        if record.seq > at and record.effect is not None and record.effect.acts and not record.cleans
    ]
