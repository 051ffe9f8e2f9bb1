"""New tasks: the row and the first entry, from which everything else follows."""

from __future__ import annotations

from typing import TypedDict, Unpack

from comity.core.codec import decode
from comity.core.errors import UsageError
from comity.core.ids import Id
from comity.core.limits import ENTRY_FORMAT, GOAL_BYTES_MAX
from comity.journal.budget import Budget, Grant
from comity.journal.call import Kind
from comity.journal.entry import Created, entry
from comity.journal.segment import Segment, payload
from comity.journal.spec import AgentSpec
from comity.journal.task import NewTask


class Options(TypedDict, total=False):
    """What may be said of a new task. `at_us` is when it is created, `not_before_us` when it may be taken.

    At most `concurrency_limit` tasks of one `concurrency_key` run at a time, over all nodes.
    """

    at_us: int
    tenant: str
    session: str
    parent: Id
    grant: Grant
    budget: Budget
    priority: int
    queue: str
    not_before_us: int
    concurrency_key: str
    concurrency_limit: int
    dedupe: str
    model: str
    version: str


def new_task(id: Id, spec: AgentSpec, goal: bytes, **options: Unpack[Options]) -> NewTask:
    """Return a task of `spec` with `goal` (canonical JSON).

    Raises:
        UsageError: the goal is larger than `GOAL_BYTES_MAX`.
    """
    tenant = options.get("tenant", "default")
    if len(goal) > GOAL_BYTES_MAX:
        raise UsageError(
            "goal_too_large",
            f"the goal has {len(goal)} bytes, at most {GOAL_BYTES_MAX} fit",
            hint="put the material into a file that a tool reads, and name that in the goal",
        )
    held, _ = payload(goal)
    created = Created(
        ENTRY_FORMAT,
        spec.name,
        held,
        tenant,
        options.get("session", ""),
        options.get("parent", b""),
        options.get("grant", Grant()),
        options.get("budget", Budget()),
        model=options.get("model", ""),
    )
    return NewTask(
        id,
        spec.name,
        options.get("version", spec.version),
        preview(goal),
        tenant,
        options.get("session", ""),
        options.get("queue") or spec.queue,
        options.get("priority", 0),
        options.get("not_before_us", 0),
        options.get("dedupe", ""),
        *_concurrency(spec, options),
        options.get("parent", b""),
        (entry(1, "", Kind.TASK, options.get("at_us", 0), created),),
    )


def _concurrency(spec: AgentSpec, options: Options) -> tuple[str, int]:
    """Return the key that a task shares with others, and how many of these run at a time; by default its agent's."""
    if options.get("concurrency_key"):
        return options["concurrency_key"], options.get("concurrency_limit", 0)
    return (f"agent:{spec.name}", spec.concurrency_limit) if spec.concurrency_limit else ("", 0)


def goal_segments(goal: bytes) -> tuple[Segment, ...]:
    """Return the segments that must be written with a task of this goal."""
    _, extra = payload(goal)
    return (extra,) if extra is not None else ()


def preview(goal: bytes) -> str:
    """Return the first 200 characters of a goal, as lists show it."""
    value = decode(goal)
    return (value if isinstance(value, str) else goal.decode())[:200]
