"""What a unit must look like before it queues: programmer errors are found here, not in the middle of a batch."""

from __future__ import annotations

from comity.journal.task import MOVES, State
from comity.journal.unit import OperatorSubject, Unit

HOLDING = frozenset({State.RUNNING, State.CANCELLING})
"""States in which a task may hold a worker, and so a lease."""

WOKEN = "woken"
"""Reason of a task that a message queued."""

NODE_LOST = "node_lost"
"""Reason of a task that was queued because its node died."""

GOAL_CHARS_SHOWN = 200
"""How much of a goal its task's row keeps."""


def check_unit(unit: Unit) -> None:
    """Assert what no store checks again: who may write what, and that entries are numbered without a gap."""
    subject = unit.subject
    if isinstance(subject, OperatorSubject):
        assert not unit.entries, "an operator appends no entries"
        assert not unit.consumes, "an operator consumes no messages"
        assert unit.transition is None, "an operator moves no task; send it an order"
    else:
        assert subject.lease_id, "a task's subject names the lease that it is held under"
        for offset, entry in enumerate(unit.entries, subject.expected_seq + 1):
            assert entry.seq == offset, f"entry `{entry.seq}` should be numbered `{offset}`"
    for spawn in unit.spawns:
        for number, entry in enumerate(spawn.entries, 1):
            assert entry.seq == number, f"first entry `{entry.seq}` should be numbered `{number}`"


def check_move(before: State, after: State) -> None:
    """Assert that `after` may follow `before`."""
    assert before is after or after in MOVES[before], f"a task that is {before} cannot become {after}"


def concerns_others(unit: Unit) -> bool:
    """Tell whether others may want to look: a new task, a message, state, a task that gave up its worker."""
    gave_up = unit.transition is not None and unit.transition.state not in HOLDING
    return bool(gave_up or unit.sends or unit.spawns or unit.state)
