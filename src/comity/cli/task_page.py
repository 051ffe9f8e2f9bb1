"""The page of one task: header, budget, calls, doubts, questions, what to type next; the lines of its journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from comity.cli.lines import Line
from comity.cli.screen import STATE_STYLE, Piece, Screen
from comity.core.ids import show_id
from comity.journal.ports import Store
from comity.journal.task import State
from comity.kernel.ledger import Record
from comity.runtime.account import Account, at_hand, content
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
    usd,
)

_PHASE_STYLE = {
    "done": "green",
    "failed": "red",
    "refused": "magenta",
    "under way": "cyan",
    "in doubt": "bold yellow",
    "held": "yellow",
}


async def write_page(screen: Screen, store: Store, account: Account, steps: Sequence[tuple[str, str]]) -> None:
    """Write all of it."""
    now_us = await store.now_us()
    screen.facts([*_header(account, now_us), *_outcome(account, await _result(store, account)), *_budget(account)])
    if account.calls:
        screen.say("")
        screen.table(
            ("seq", "branch", "kind", "name", "effect", "phase", ">attempts", "verified", "cost", "arguments"),
            [_call(account, record) for record in account.calls],
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


async def _result(store: Store, account: Account) -> str:
    ended = account.ended
    if ended is None or ended.state != State.SUCCEEDED:
        return ""
    return preview(await content(store, account.row.tenant, ended.result), 2_000)


def _header(account: Account, now_us: int) -> Iterator[tuple[str, Piece | list[Piece]]]:
    row, created = account.row, account.created
    yield "task", [(show_id(row.id)[: -len(short(row.id))], "dim"), (short(row.id), "bold")]
    agent: list[Piece] = [row.agent]
    if row.agent_version:
        agent.append((f"  version {row.agent_version}", "dim"))
    if created.model:
        agent.append((f"  model {model_name(created.model)}", "dim"))
    yield "agent", agent
    yield "goal", one_line(preview(at_hand(created.goal), 1_000), 1_000)
    yield "session", row.session
    yield "parent", short(row.parent) if row.parent else ""
    if created.forked_from:
        mode = "live" if created.live else "rehearsed"
        yield "fork of", f"{short(created.forked_from)} at entry {created.forked_at}, {mode}"
    state: list[Piece] = [(str(row.state), STATE_STYLE[row.state])]
    if row.reason:
        state.append(f"  {row.reason}")
    detail = account.detail if row.state in (State.PARKED, State.WAITING, State.CANCELLING) else ""
    state.append((f"  {one_line(detail, 400)}" if detail else "", "dim"))
    yield "state", state
    took = f", worked on for {span((row.updated_us - row.created_us) / 1e6)}" if row.state.ended else ""
    yield "created", [moment(row.created_us), (f"  {age(row.created_us, now_us)} ago{took}", "dim")]
    if account.unprotected:
        names = ", ".join(account.unprotected)
        yield "unprotected", [(names, "yellow"), ("  run inside the program: again on replay", "dim")]


def _outcome(account: Account, result: str) -> Iterator[tuple[str, Piece | list[Piece]]]:
    ended = account.ended
    if ended is None:
        return
    if ended.state == State.SUCCEEDED:
        yield "result", result
    elif ended.error or ended.code:
        yield "error", [(ended.error, "red"), (f"  {ended.code}", "dim")]


def _budget(account: Account) -> Iterator[tuple[str, Piece | list[Piece]]]:
    ledger = account.ledger
    used, reserved, budget = ledger.used, ledger.reserved, ledger.budget
    tokens = used.tokens_in + used.tokens_out
    held = reserved.tokens_in + reserved.tokens_out
    parts: list[str] = []
    if tokens or budget.tokens is not None:
        parts.append(f"{tokens:,}{_of(budget.tokens)} tokens" + (f" (+{held:,} reserved)" if held else ""))
    if used.usd_micro or budget.usd_micro is not None:
        limit = "" if budget.usd_micro is None else f" of {usd(budget.usd_micro)}"
        parts.append(
            usd(used.usd_micro) + limit + (f" (+{usd(reserved.usd_micro)} reserved)" if reserved.usd_micro else "")
        )
    names = {**dict.fromkeys(budget.calls, 0), **ledger.counts}
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


def _call(account: Account, record: Record) -> tuple[Piece, ...]:
    phase = account.phase(record)
    given = at_hand(record.args)
    words = arguments(given, 100) if record.key.kind != "model" else ""
    return (
        str(record.seq),
        record.key.branch or ("", "dim"),
        str(record.key.kind),
        model_name(record.key.name),
        str(record.effect or ""),
        (phase, _PHASE_STYLE.get(phase, "blue")),
        str(record.attempt),
        account.verified(record),
        (cost(record.cost), "dim"),
        (words, "dim"),
    )


def _write_open(screen: Screen, account: Account) -> None:
    for record in account.doubts:
        args = at_hand(record.args)
        screen.say("")
        screen.say(
            ("? ", "bold yellow"),
            (f"call {record.seq} is in doubt", "bold"),
            f"  {record.key.name}({arguments(args, 200)})  ",
            (record.unknown or "nobody knows whether it happened", "dim"),
        )
    for record in account.questions:
        asked = at_hand(record.args)
        asked = asked if isinstance(asked, dict) else {"question": msgspec.json.encode(asked).decode()}
        options = ", ".join(map(str, asked.get("options") or ()))
        screen.say("")
        screen.say(("? ", "blue"), (one_line(str(asked.get("question", "")), 1_000), "bold"), (f"  {options}", "dim"))
