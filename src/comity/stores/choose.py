"""Which of the tasks that are due a node takes: sessions have one writer, concurrency keys a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from comity.journal.task import TaskRow


def choose(candidates: Iterable[TaskRow], limit: int, held: Callable[[str, str], int]) -> list[TaskRow]:
    """Return up to `limit` of `candidates`, in order.

    The store left out those whose session has another task begun; what is chosen here begins too. `held` tells how many
    tasks of a (tenant, concurrency key) hold a worker already.
    """
    chosen: list[TaskRow] = []
    sessions: dict[tuple[str, str], bytes] = {}
    running: dict[tuple[str, str], int] = {}
    if limit <= 0:
        return chosen
    for row in candidates:
        session = (row.tenant, row.session)
        if row.session and sessions.get(session, row.id) != row.id:
            continue
        if row.concurrency_key:
            key = (row.tenant, row.concurrency_key)
            if key not in running:
                running[key] = held(*key)
            if running[key] >= row.concurrency_limit:
                continue
            running[key] += 1
        if row.session:
            sessions[session] = row.id
        chosen.append(row)
        if len(chosen) == limit:
            break
    return chosen
