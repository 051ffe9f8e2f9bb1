"""What to type next: for each way in which a task may need somebody, the exact command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from comity.cli.lines import at_hand
from comity.journal.call import Kind
from comity.journal.task import ParkReason, State
from comity.runtime.words import one_line, short
from comity.server.documents import AccountDocument, BudgetDocument, CallDocument

_ENDED = frozenset({"done", "failed", "refused", "unknown"})


def next_steps(account: AccountDocument) -> list[tuple[str, str]]:
    """Return (command, what it does) for each thing that may be done now."""
    steps = list(_steps(account))
    moves = account.state in (State.QUEUED, State.RUNNING, State.WAITING, State.CANCELLING)
    if moves and not account.has_node:
        steps.append((f"comity run --task {short(account.id)}", "go on with it here: no node is up on this store"))
        steps.append(("comity up", "or let a node take every task of this store"))
    elif account.state in (State.PARKED, State.FAILED) and not account.has_node:
        steps.append((f"comity run --task {short(account.id)}", "and then go on with it: no node is up"))
    return steps


def _steps(account: AccountDocument) -> Iterator[tuple[str, str]]:
    name = short(account.id)
    if account.state in (State.PARKED, State.WAITING, State.RUNNING):
        for record in doubts_of(account):
            call = f"comity tasks resolve {name} {record.call}"
            yield f"{call} --happened --result JSON", f"`{record.name}` happened, and returned this"
            yield f"{call} --not-happened", "it did not happen: the agent is told"
            yield f"{call} --again", "it did not happen: perform it again"
    if account.state in (State.WAITING, State.RUNNING):
        for record in account.calls:
            step = None if record.phase in _ENDED else way_on(record.kind, record.name, at_hand(record.args), name)
            if step is not None:
                yield step
    if account.state is State.PARKED:
        yield from _unpark(account, name)
    if account.state is State.FAILED:
        yield f"comity tasks retry {name} --redo", "try its last call once more"
        yield f"comity tasks retry {name} --rethink", "ask its model once more"


def doubts_of(account: AccountDocument) -> list[CallDocument]:
    """Return the calls of which nobody knows whether they happened."""
    return [record for record in account.calls if record.call in account.in_doubt]


def way_on(kind: str, name: str, asked: Any, task: str) -> tuple[str, str] | None:
    """Return how the question is answered, or the signal sent, for which an open call waits."""
    if kind == Kind.HUMAN:
        options = asked.get("options") if isinstance(asked, dict) else None
        answer = shlex.quote(str(options[0])) if options else '"…"'
        return f"comity questions answer {task} {answer}", "answer its question"
    if kind == Kind.SIGNAL:
        return f"comity tasks signal {task} {shlex.quote(one_line(name, 60))} JSON", "send the signal that it waits for"
    return None


def _unpark(account: AccountDocument, name: str) -> Iterator[tuple[str, str]]:
    reason = account.reason
    if reason == ParkReason.STOPPED:
        for scope in account.stopped_by:
            yield f"comity stop {scope} --lift", "lift the stop"
        if not account.stopped_by:
            yield f"comity tasks resume {name}", "go on: the stop was lifted"
    elif reason in (ParkReason.OVER_BUDGET, ParkReason.OVER_CONTEXT):
        limit = _raised(account.budget, account.used.usd, account.detail)
        yield f"comity tasks resume {name} --budget {limit}", "go on with a higher limit"
    elif reason == ParkReason.DIVERGED:
        yield f"comity tasks resume {name}", "try again, once the code fits its journal"
        yield f"comity tasks fork {name} --at SEQ", "go on from an entry before they differ"
    elif reason == ParkReason.PAUSED:
        yield f"comity tasks resume {name}", "go on"
    elif reason in (ParkReason.STALLED, ParkReason.SPINNING, ParkReason.COMPENSATION_BLOCKED):
        yield f"comity tasks resume {name}", "try again, once its cause is gone"
    yield f"comity tasks cancel {name}", "end it; what can be undone is undone"


def _raised(budget: BudgetDocument, used_usd: float, detail: str) -> str:
    """Return twice the limit that was reached, as `--budget` takes it."""
    if budget.context_tokens is not None and "context" in detail:
        return f"context_tokens={2 * budget.context_tokens}"
    named = detail.split("`")[1] if detail.count("`") >= 2 else ""
    named = named.rpartition(" ")[2]
    if named.startswith("calls."):
        limit = budget.calls.get(named.removeprefix("calls."), 0)
        return f"{named}={max(2 * limit, 1)}"
    if named == "usd" and budget.usd is not None:
        return f"usd={max(2 * budget.usd, used_usd):g}"
    if named == "wall_s" and budget.wall_s is not None:
        return f"wall_s={2 * budget.wall_s:g}"
    if named == "tokens" and budget.tokens is not None:
        return f"tokens={2 * budget.tokens}"
    return "LIMIT=VALUE"
