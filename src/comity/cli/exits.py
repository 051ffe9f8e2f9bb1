"""Exit codes: the one table, and which error means which."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from comity.core.errors import ComityError, StoreError, UsageError

if TYPE_CHECKING:
    from comity.journal.task import TaskRow
    from comity.server.documents import TaskDocument


class Exit(IntEnum):
    """What a command's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    PARKED = 4
    STORE = 5
    STOPPED = 6
    BUG = 70
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "it was done; the task succeeded",
    Exit.FAILED: "the task failed, a check found something, two tasks differ",
    Exit.USAGE: "the command, the configuration or an agent file is wrong",
    Exit.NOT_FOUND: "what was named is not there",
    Exit.PARKED: "the task is parked or asks: it needs a person",
    Exit.STORE: "the store or the server cannot be used",
    Exit.STOPPED: "the task was stopped or cancelled",
    Exit.BUG: "Comity itself is wrong; --debug shows where",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}

_NOT_THERE = frozenset(
    {
        "no_agent_file",
        "no_config",
        "no_such_agent",
        "no_such_claim",
        "no_such_call",
        "no_such_entry",
        "no_such_file",
        "no_such_model",
        "no_such_session",
        "no_such_task",
        "no_such_token",
        "no_such_tool",
        "no_world",
        "not_asked",
        "not_stopped",
        "unknown_agent",
        "unknown_detector",
        "unknown_field",
    }
)


_NOT_REACHED = frozenset({"no_server", "cut_off", "foreign_answer"})
_WRONG_TOKEN = frozenset({"expired_token", "no_token", "not_yours", "unknown_token"})


def exit_of(error: ComityError) -> Exit:
    """Return the exit code of a command that ended with `error`."""
    if error.code in _NOT_THERE:
        return Exit.NOT_FOUND
    if isinstance(error, UsageError) or error.code in _WRONG_TOKEN:
        return Exit.USAGE
    if isinstance(error, StoreError) or error.code in _NOT_REACHED:
        return Exit.STORE
    return Exit.FAILED


def exit_for(row: TaskRow | TaskDocument) -> Exit:
    """Return the exit code of a command that followed a task until it stood like this."""
    from comity.journal.task import ParkReason, State

    if row.state is State.SUCCEEDED:
        return Exit.OK
    if row.state is State.FAILED:
        return Exit.FAILED
    if row.state is State.CANCELLED or row.reason == ParkReason.STOPPED:
        return Exit.STOPPED
    return Exit.PARKED


def table() -> list[tuple[str, str]]:
    """Return the rows that `comity --help` prints."""
    return [(str(int(code)), text) for code, text in MEANING.items()]
