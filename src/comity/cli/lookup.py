"""From what a person types to what is meant: tasks by a part of their id, scopes by theirs."""

from __future__ import annotations

from comity.cli.api import Api
from comity.core.errors import UsageError
from comity.core.ids import parse_id, show_id
from comity.runtime.words import SHORT_CHARS, one_line
from comity.server import task_operations
from comity.server.bodies import TasksQuery

PART_CHARS_MIN = 4
FOUND_MAX, SHOWN_MAX = 100, 3
"""Of tasks that fit, so many are counted and so many named."""
_HEX = frozenset("0123456789abcdef")
HINT = "`comity tasks ls` lists them"


async def find_task(api: Api, text: str) -> str:
    """Return the id of the task that `text` begins or ends; a whole id as it is, whether it is there or not.

    Raises:
        UsageError: none or several do; or it is no part of an id.
    """
    part = text.strip().lower().replace("-", "")
    if len(part) == 32:
        return show_id(parse_id(text.strip()))
    if not PART_CHARS_MIN <= len(part) < 32 or not set(part) <= _HEX:
        hint = f"give it whole, or its first or last {SHORT_CHARS} characters; {HINT}"
        raise UsageError("not_an_id", f"`{one_line(text, 60)}` is not the id of a task", hint=hint)
    page = await api.ask(task_operations.ls, query=TasksQuery(part=part, limit=FOUND_MAX))
    if not page.tasks:
        raise UsageError("no_such_task", f"there is no task `{text}`", hint=HINT)
    if len(page.tasks) > 1:
        count = f"more than {FOUND_MAX}" if page.has_more else f"{len(page.tasks)}"
        names = ", ".join(f"`{task.id}`" for task in page.tasks[:SHOWN_MAX])
        rest = f" and {len(page.tasks) - SHOWN_MAX} more" if SHOWN_MAX < len(page.tasks) < FOUND_MAX else ""
        text = f"`{text}` fits {count} tasks: {names}{rest}"
        raise UsageError("ambiguous_id", text, hint="give more characters of the id")
    return page.tasks[0].id


async def find_scope(api: Api, text: str) -> str:
    """Return a scope in full: the id of `task:ID` may be abbreviated.

    Raises:
        UsageError: it is no scope, or there is no such task.
    """
    from comity.kernel.stops import parse_scope

    kind, _, name = text.partition(":")
    if kind == "task" and name:
        return f"task:{await find_task(api, name)}"
    return parse_scope(text)
