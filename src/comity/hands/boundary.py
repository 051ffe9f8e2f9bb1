"""The boundary around a tool: strict arguments in, one `Attempt` out, whatever the tool does.

Order: bind the arguments (a fault there is known not to have happened), look at the permit, call the tool. What a tool
raises is `unknown` for every class that acts, since nobody can tell how far it came; only `NotHappened` says that
nothing happened.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from comity.core.codec import canonical, decode
from comity.core.errors import ComityError, NotHappened
from comity.core.ids import show_id
from comity.core.limits import SEGMENT_BYTES_MAX
from comity.journal.call import Attempt, CallContext, Permit
from comity.journal.performing import PERFORMING, Performing
from comity.journal.program import INJECT, bind
from comity.journal.spec import Effect, ToolSpec

ERROR_CHARS_MAX = 2_000
EXPIRED = Attempt("expired", error="the permit ran out before the tool was called")

log = logging.getLogger("comity.hands")


class Bound(NamedTuple):
    """A tool with its arguments, ready to be called."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    acts: bool


def bound(function: Callable[..., Any], spec: ToolSpec, args: bytes, context: CallContext) -> Bound | Attempt:
    """Return the tool bound to its arguments, or the `failed` attempt that says why they do not fit.

    A tool that takes the context gets it with the arguments in it.
    """
    try:
        if getattr(function, INJECT, ""):
            context = msgspec.structs.replace(context, args=decode(args))
        return Bound(function, bind(function, args, context), spec.effect.acts)
    except ComityError as error:
        return Attempt("failed", error=f"{error.message} ({error.hint})" if error.hint else error.message)


def context_of(permit: Permit, tool: str) -> CallContext:
    """Return what a tool may know of the call that it performs, its arguments apart."""
    return CallContext(show_id(permit.task), permit.key, permit.attempt, tool)


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling `function` gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def perform_async(call: Bound, performing: Performing) -> Attempt:
    """Perform one attempt on this loop. A cancellation of the task that awaits this passes through."""
    token = PERFORMING.set(performing)
    try:
        if performing.is_over:
            return EXPIRED
        value = await call.function(**call.arguments)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled_from_outside():
            raise
        return raised(error, acts=call.acts)
    finally:
        PERFORMING.reset(token)
    return returned(value, acts=call.acts)


def perform_sync(call: Bound, performing: Performing) -> Attempt:
    """Perform one attempt on this thread."""
    token = PERFORMING.set(performing)
    try:
        if performing.is_over:
            return EXPIRED
        value = call.function(**call.arguments)
    except BaseException as error:
        return raised(error, acts=call.acts)
    finally:
        PERFORMING.reset(token)
    return returned(value, acts=call.acts)


def returned(value: Any, *, acts: bool) -> Attempt:
    """Return the attempt of a tool that returned `value`."""
    try:
        data = canonical(value, "result")
    except ComityError as error:
        return undecided(f"the tool's result cannot be kept: {error.message}", acts=acts)
    except BaseException as error:
        return raised(error, acts=acts)
    if len(data) > SEGMENT_BYTES_MAX:
        return undecided(f"the tool's result has {len(data)} bytes, the limit is {SEGMENT_BYTES_MAX}", acts=acts)
    return Attempt("done", data)


def raised(error: BaseException, *, acts: bool) -> Attempt:
    """Return the attempt of a tool that raised; its traceback goes to the log alone."""
    if isinstance(error, NotHappened):
        return Attempt("failed", error=error.message[:ERROR_CHARS_MAX])
    log.warning("a tool raised", exc_info=error)
    return undecided("".join(traceback.format_exception_only(error)).strip(), acts=acts)


def undecided(error: str, *, acts: bool) -> Attempt:
    """Return how an attempt ended of which nobody knows how far it came: a tool that only reads has done nothing."""
    return Attempt("unknown" if acts else "failed", error=error[:ERROR_CHARS_MAX])


def not_made(attempt: Attempt, permit: Permit, effect: Effect) -> Attempt:
    """Return a `failed` attempt that no tool was asked for: that says nothing of earlier ones, which may have happened.

    Only calls of idempotent tools are made again while they are in doubt; such a doubt goes on.
    """
    is_in_doubt = permit.attempt > 1 and effect is Effect.IDEMPOTENT
    return msgspec.structs.replace(attempt, end="unknown") if is_in_doubt else attempt


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
