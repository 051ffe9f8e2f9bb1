"""Remembers for a while which calls were trimmed, so that whoever asked for more learns what was done."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from comity.coordination.ruling import Proposal, Ruling

TASKS_MAX = 10_000
TRIMS_MAX = 5
"""Of so many calls, its last ones, a task is told."""
TOLD_US = 600_000_000
"""So long is told of a call that was trimmed."""


class Trims:
    """The calls of each task that were trimmed of late, in the memory of the node that judged them."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lines: OrderedDict[str, deque[tuple[int, str]]] = OrderedDict()

    def ruled(self, proposal: Proposal, ruling: Ruling, now_us: int) -> None:
        """Take how a call was ruled."""
        if ruling.word != "trim" or ruling.args is None:
            return
        changes = [
            f"{name} = {_shown(value)} instead of {_shown(proposal.args.get(name))}"
            for name, value in sorted(ruling.args.items())
            if value != proposal.args.get(name)
        ]
        line = f"- your call of {proposal.tool} was trimmed: {', '.join(changes)} ({ruling.rule})"
        self._lines.setdefault(proposal.task, deque(maxlen=TRIMS_MAX)).append((now_us, line))
        self._lines.move_to_end(proposal.task)
        if len(self._lines) > TASKS_MAX:
            self._lines.popitem(last=False)

    def of(self, task: str, now_us: int) -> Iterator[str]:
        """Yield what a task is to be told, oldest first."""
        return (line for at_us, line in self._lines.get(task, ()) if at_us + TOLD_US > now_us)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, int | float) else "something else"
