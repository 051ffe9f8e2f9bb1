"""What a supervisor says of its task: how it stands, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import msgspec

from comity.cli.exits import Exit, exit_for
from comity.cli.screen import STATE_STYLE, Screen
from comity.cli.task_page import write_steps
from comity.core.ids import parse_id
from comity.journal.task import ParkReason, State
from comity.runtime.words import number, preview, short, usd
from comity.server.documents import AccountDocument

Step = tuple[str, str]


def tell_end(screen: Screen, account: AccountDocument, command: Sequence[str], *, is_interrupted: bool) -> int:
    """Say how a task stands that its supervisor leaves, and what to do next; return the exit code."""
    is_left = is_interrupted and not account.state.ended
    code = Exit.INTERRUPTED if is_left else exit_for(account)
    steps = list(next_steps(account, command))
    if screen.is_json:
        commands = [{"command": line, "does": text} for line, text in steps]
        screen.document({**msgspec.to_builtins(account), "next": commands, "exit_code": int(code)})
        return code
    state = f"{account.state}: {account.reason}" if account.reason and not account.state.ended else str(account.state)
    style = STATE_STYLE[account.state]
    screen.note((state, "bold" if style == "dim" else f"bold {style}"), (f"  {_used(account)}", "dim"))
    if account.state is State.PARKED and account.detail:
        screen.note((account.detail, "dim"))
    if account.error is not None:
        screen.note((account.error.message or account.error.code, "red"))
    elif account.result is not None:
        screen.note(account.result if isinstance(account.result, str) else preview(account.result, 1_000_000))
    if account.unprotected:
        names = ", ".join(f"`{name}`" for name in account.unprotected)
        screen.warn(f"{names} ran inside the program, unprotected: offer such tools by the tool URL")
    write_steps(screen, steps, is_aside=True)
    return code


def next_steps(account: AccountDocument, command: Sequence[str]) -> Iterator[Step]:
    """Yield (command line, what it does) for each thing that may be done now."""
    name = short(parse_id(account.id))
    again = f"comity run --task {name} -- {shlex.join(command)}"
    if account.state.ended:
        if account.state is State.FAILED:
            yield f"comity tasks retry {name} --redo", "let it go on"
            yield again, "and then start its program again"
        return
    for call in account.in_doubt:
        found = next((item.name for item in account.calls if item.call == call), "")
        line = f"comity tasks resolve {name} {call}"
        yield f"{line} --happened --result JSON", f"`{found}` happened, and returned this"
        yield f"{line} --not-happened", "it did not happen: the program is told"
        yield f"{line} --again", "it did not happen: perform it again"
    yield from _unpark(account, name)
    yield again, "go on"
    yield f"comity tasks cancel {name}", "end it; what can be undone is undone"


def _unpark(account: AccountDocument, name: str) -> Iterator[Step]:
    """Yield what is to be done before a parked task can go on."""
    reason = account.reason
    for call in account.questions:
        yield f'comity questions answer {name}/{call} "…"', "answer its question"
    if reason == ParkReason.STOPPED:
        yield "comity stop --list", "see what is stopped, and lift it with --lift"
    elif reason in (ParkReason.OVER_BUDGET, ParkReason.OVER_CONTEXT):
        yield f"comity tasks resume {name} --budget LIMIT=VALUE", "set a higher limit"
    elif reason == ParkReason.DIVERGED:
        yield f"comity tasks show {name}", "see where the program left its journal"


def _used(account: AccountDocument) -> str:
    used = account.used
    calls = sum(used.calls.values())
    parts = [number(calls, "call")] if calls else []
    if tokens := used.tokens_in + used.tokens_out:
        parts.append(f"{tokens:,} tokens")
    if used.usd:
        parts.append(usd(round(used.usd * 1e6)))
    return ", ".join(parts)
