"""What a supervisor says of its task: how it stands, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec

from comity.cli.exits import Exit, exit_for
from comity.cli.next_steps import next_steps
from comity.cli.screen import STATE_STYLE, Screen
from comity.cli.task_page import used_by, write_steps
from comity.journal.task import State
from comity.runtime.words import cost, number, preview, short
from comity.server.documents import AccountDocument

Step = tuple[str, str]


def tell_end(screen: Screen, account: AccountDocument, command: Sequence[str], *, is_interrupted: bool) -> int:
    """Say how a task stands that its supervisor leaves, and what to do next; return the exit code."""
    is_left = is_interrupted and not account.state.ended
    code = Exit.INTERRUPTED if is_left else exit_for(account)
    steps = steps_with(account, command)
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


def steps_with(account: AccountDocument, command: Sequence[str]) -> list[Step]:
    """Return (command line, what it does) for each thing that may be done now: a task goes on with its program."""
    name = short(account.id)
    again = f"comity run --task {name}"
    program = f" -- {shlex.join(command)}"
    steps: list[Step] = []
    for line, text in next_steps(account):
        if line.startswith(f"comity tasks resume {name}"):
            steps.append((again + line.removeprefix(f"comity tasks resume {name}") + program, text))
        elif not line.startswith((again, "comity up")):
            steps.append((line, text))
    if account.state is State.FAILED:
        steps.append((again + program, "and then start its program again"))
    elif not account.state.ended and not any(line.startswith(again) for line, _ in steps):
        steps.append((again + program, "go on"))
    return steps


def _used(account: AccountDocument) -> str:
    used = account.used
    calls = sum(used.calls.values())
    return ", ".join(part for part in (number(calls, "call") if calls else "", cost(used_by(used))) if part)
