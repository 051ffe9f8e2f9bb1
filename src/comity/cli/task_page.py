"""The page of one task: header, budget, calls, doubts, questions, what to type next; the lines of its journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from comity.cli.lines import Line, at_hand
from comity.cli.next_steps import doubts_of
from comity.cli.screen import STATE_STYLE, Piece, Screen
from comity.journal.budget import Cost
from comity.journal.task import State
from comity.runtime.words import (
    age,
    arguments,
    cost,
    model_name,
    moment,
    one_line,
    preview,
    short,
    span,
    time_of_day,
    us_of,
    usd,
)
from comity.server.documents import AccountDocument, CallDocument, CostDocument

_PHASE_STYLE = {
    "done": "green",
    "failed": "red",
    "refused": "magenta",
    "under way": "cyan",
    "in doubt": "bold yellow",
    "held": "yellow",
}


def write_page(screen: Screen, account: AccountDocument, now_us: int, steps: Sequence[tuple[str, str]]) -> None:
    """Write all of it."""
    screen.facts([*_header(account, now_us), *_outcome(account), *_budget(account)])
    if account.calls:
        screen.say("")
        screen.table(
            ("seq", "branch", "kind", "name", "effect", "phase", ">attempts", "verified", "cost", "arguments"),
            [_call(record) for record in account.calls],
        )
    _write_open(screen, account)
    write_steps(screen, steps)


def write_steps(screen: Screen, steps: Sequence[tuple[str, str]], *, is_aside: bool = False) -> None:
    """Write what to type next; `is_aside` where the answer is something else."""
    if not steps:
        return
    write = screen.note if is_aside else screen.say
    write("")
    write(("next", "dim"))
    width = max(len(line) for line, _ in steps)
    for line, text in steps:
        write((f"  {line:<{width}}", "bold"), (f"  {text}", "dim"))


def write_line(screen: Screen, line: Line) -> None:
    """Write an entry of the journal in one line."""
    branch = f"[{line.branch}] " if line.branch else ""
    pieces: list[Piece] = [
        (f"{line.seq:>5}  {time_of_day(line.at_us)}  ", "dim"),
        (f"{line.mark} ", line.style),
        (branch, "dim"),
    ]
    screen.answer(*pieces, *said(line))


def said(line: Line) -> list[Piece]:
    """Return what a line says, without its number, time and mark."""
    joint = "" if line.text.startswith("(") else " "
    pieces: list[Piece] = [(line.subject, line.style if line.style.startswith("bold") else "bold")]
    if line.text:
        pieces.append(f"{joint}{line.text}")
    if line.aside:
        pieces.append((f"  {line.aside}", "dim"))
    return [(words, "dim") if line.is_minor else (words, style) for words, style in map(_styled, pieces)]


def _styled(piece: Piece) -> tuple[str, str]:
    return piece if isinstance(piece, tuple) else (piece, "")


def used_by(cost: CostDocument) -> Cost:
    """Return what a document says was used."""
    return Cost(cost.tokens_in, cost.tokens_out, round(cost.usd * 1e6))


def _header(account: AccountDocument, now_us: int) -> Iterator[tuple[str, Piece | list[Piece]]]:
    yield "task", [(account.id[: -len(short(account.id))], "dim"), (short(account.id), "bold")]
    agent: list[Piece] = [account.agent]
    if account.agent_version:
        agent.append((f"  version {account.agent_version}", "dim"))
    if account.model:
        agent.append((f"  model {model_name(account.model)}", "dim"))
    yield "agent", agent
    yield "goal", one_line(account.goal, 1_000)
    yield "session", account.session or ""
    yield "parent", short(account.parent) if account.parent else ""
    if account.forked_from:
        mode = "live" if account.is_live else "rehearsed"
        yield "fork of", f"{short(account.forked_from)} at entry {account.forked_at}, {mode}"
    state: list[Piece] = [(str(account.state), STATE_STYLE[account.state])]
    if account.reason:
        state.append(f"  {account.reason}")
    detail = account.detail if account.state in (State.PARKED, State.WAITING, State.CANCELLING) else ""
    state.append((f"  {one_line(detail, 400)}" if detail else "", "dim"))
    yield "state", state
    created_us = us_of(account.created_at)
    took = f", worked on for {span((us_of(account.updated_at) - created_us) / 1e6)}" if account.state.ended else ""
    yield "created", [moment(created_us), (f"  {age(created_us, now_us)} ago{took}", "dim")]
    if account.unprotected:
        names = ", ".join(account.unprotected)
        yield "unprotected", [(names, "yellow"), ("  run inside the program: again on replay", "dim")]


def _outcome(account: AccountDocument) -> Iterator[tuple[str, Piece | list[Piece]]]:
    if account.state is State.SUCCEEDED:
        yield "result", preview(account.result, 2_000)
    elif account.error is not None:
        yield "error", [(account.error.message, "red"), (f"  {account.error.code}", "dim")]


def _budget(account: AccountDocument) -> Iterator[tuple[str, Piece | list[Piece]]]:
    used, reserved, budget = used_by(account.used), used_by(account.reserved), account.budget
    tokens = used.tokens_in + used.tokens_out
    held = reserved.tokens_in + reserved.tokens_out
    parts: list[str] = []
    if tokens or budget.tokens is not None:
        parts.append(f"{tokens:,}{_of(budget.tokens)} tokens" + (f" (+{held:,} reserved)" if held else ""))
    if used.usd_micro or budget.usd is not None:
        limit = "" if budget.usd is None else f" of {usd(round(budget.usd * 1e6))}"
        parts.append(
            usd(used.usd_micro) + limit + (f" (+{usd(reserved.usd_micro)} reserved)" if reserved.usd_micro else "")
        )
    names = {**dict.fromkeys(budget.calls, 0), **account.used.calls}
    for name, count in sorted(names.items()):
        if name in budget.calls or count:
            parts.append(f"{count:,}{_of(budget.calls.get(name))} {name}")
    if budget.wall_s is not None:
        parts.append(f"at most {span(budget.wall_s)}")
    if budget.context_tokens is not None:
        parts.append(f"context of at most {budget.context_tokens:,} tokens")
    yield "used", ", ".join(parts)


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of {limit:,}"


def _call(record: CallDocument) -> tuple[Piece, ...]:
    phase = record.phase.replace("_", " ")
    words = arguments(at_hand(record.args), 100) if record.kind != "model" else ""
    return (
        str(record.call),
        record.branch or ("", "dim"),
        record.kind,
        model_name(record.name),
        record.effect or "",
        (phase, _PHASE_STYLE.get(phase, "blue")),
        str(record.attempts),
        record.verified or "",
        (cost(used_by(record.cost)), "dim"),
        (words, "dim"),
    )


def _write_open(screen: Screen, account: AccountDocument) -> None:
    for record in doubts_of(account):
        screen.say("")
        screen.say(
            ("? ", "bold yellow"),
            (f"call {record.call} is in doubt", "bold"),
            f"  {record.name}({arguments(at_hand(record.args), 200)})  ",
            (record.error or "nobody knows whether it happened", "dim"),
        )
    for record in account.calls:
        if record.performed is not None:
            trimmed = f"  {record.name}({arguments(at_hand(record.performed), 200)})"
            screen.say("")
            screen.say(("~ ", "yellow"), (f"call {record.call} was trimmed to", "bold"), trimmed)
        elif record.phase == "waits:_deferred" and record.error:
            screen.say("")
            screen.say(
                ("… ", "blue"), (f"call {record.call} waits", "bold"), f"  {record.name}: ", (record.error, "dim")
            )
    for record in account.calls:
        if record.call not in account.questions:
            continue
        asked = at_hand(record.args)
        asked = asked if isinstance(asked, dict) else {"question": msgspec.json.encode(asked).decode()}
        options = ", ".join(map(str, asked.get("options") or ()))
        screen.say("")
        screen.say(("? ", "blue"), (one_line(str(asked.get("question", "")), 1_000), "bold"), (f"  {options}", "dim"))
