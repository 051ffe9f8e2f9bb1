"""From what a person types to what is meant: tasks by a part of their id, scopes by theirs."""

from __future__ import annotations

from comity.core.errors import UsageError
from comity.core.ids import parse_id, show_id
from comity.journal.ports import Store
from comity.journal.task import TaskRow
from comity.runtime.listing import all_tasks
from comity.runtime.words import SHORT_CHARS, one_line

PART_CHARS_MIN = 4
_HEX = frozenset("0123456789abcdef")
HINT = "`comity tasks ls` lists them"


async def find_task(store: Store, text: str) -> TaskRow:
    """Return the task whose id is, begins or ends with `text`.

    Raises:
        UsageError: none or several are; or it is no part of an id.
    """
    part = text.strip().lower().replace("-", "")
    if len(part) == 32:
        row = await store.task(parse_id(text.strip()))
        if row is None:
            raise UsageError("no_such_task", f"there is no task `{text}`", hint=HINT)
        return row
    if not PART_CHARS_MIN <= len(part) < 32 or not set(part) <= _HEX:
        hint = f"give it whole, or its first or last {SHORT_CHARS} characters; {HINT}"
        raise UsageError("not_an_id", f"`{one_line(text, 60)}` is not the id of a task", hint=hint)
    found = [row async for row in all_tasks(store) if _is_part(row, part)]
    if not found:
        raise UsageError("no_such_task", f"there is no task `{text}`", hint=HINT)
    if len(found) > 1:
        names = ", ".join(f"`{show_id(row.id)}`" for row in found[:3])
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        text = f"`{text}` fits {len(found)} tasks: {names}{more}"
        raise UsageError("ambiguous_id", text, hint="give more characters of the id")
    return found[0]


async def find_scope(store: Store, text: str) -> str:
    """Return a scope in full: the id of `task:ID` may be abbreviated.

    Raises:
        UsageError: it is no scope, or there is no such task.
    """
    from comity.kernel.stops import parse_scope

    kind, _, name = text.partition(":")
    if kind == "task" and name:
        return f"task:{show_id((await find_task(store, name)).id)}"
    return parse_scope(text)


def _is_part(row: TaskRow, part: str) -> bool:
    whole = row.id.hex()
    return whole.startswith(part) or whole.endswith(part)
