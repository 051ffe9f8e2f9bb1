"""How an agent ends: its result as canonical JSON, or its error with the lines of the user's own code."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comity.core.codec import canonical
from comity.core.errors import ComityError, UsageError
from comity.journal.protocol import Finished

_HERE = str(Path(__file__).resolve().parent.parent) + "/"
_THEIRS = str(Path(asyncio.__file__).resolve().parent) + "/"
TRACEBACK_CHARS_MAX = 20_000


def returned(result: Any, session: tuple[bytes, ...]) -> Finished:
    """Return the end of an agent that returned `result`."""
    try:
        return Finished(canonical(result, "result"), session=session)
    except UsageError as error:
        return Finished(code=error.code, error=f"the agent returned what is not JSON: {error.message}; {error.hint}")


def raised(error: BaseException) -> Finished:
    """Return the end of an agent that raised `error`."""
    if isinstance(error, ComityError):
        text = f"{error.message}; {error.hint}" if error.hint else error.message
        return Finished(code=error.code, error=text, traceback=trace(error))
    code = "cancelled_itself" if isinstance(error, asyncio.CancelledError) else "agent_error"
    return Finished(code=code, error=line(error), traceback=trace(error))


def line(error: BaseException) -> str:
    """Return an error in one line."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def trace(error: BaseException) -> str:
    """Return the traceback of `error` and its causes with the user's frames only."""
    told = traceback.TracebackException.from_exception(error)
    for part in _parts(told):
        part.stack = traceback.StackSummary.from_list([frame for frame in part.stack if _is_users(frame.filename)])
    return "".join(told.format())[-TRACEBACK_CHARS_MAX:]


def waits_at(coro: Any) -> str:
    """Return file and line of the user's code at which a coroutine waits."""
    place = ""
    while coro is not None:
        frame = getattr(coro, "cr_frame", None)
        if frame is not None and _is_users(frame.f_code.co_filename):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        coro = getattr(coro, "cr_await", None)
    return place


def _is_users(filename: str) -> bool:
    return not filename.startswith((_HERE, _THEIRS, "<frozen"))


def _parts(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    waiting = [told]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(
            item for item in (part.__cause__, part.__context__, *(part.exceptions or ())) if item is not None
        )
