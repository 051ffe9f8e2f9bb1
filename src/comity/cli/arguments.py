"""What is typed on the command line, read strictly: budgets, JSON, `FILE:AGENT`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from comity.core.codec import parse
from comity.core.errors import UsageError
from comity.journal.budget import Budget
from comity.runtime.words import one_line

if TYPE_CHECKING:
    from comity.server.bodies import Limits

BUDGET_HINT = "write for instance `--budget usd=1,tokens=200000,calls.irreversible=1,wall_s=3600,context_tokens=100000`"


def read_budget(texts: Iterable[str], base: Budget | None = None) -> Budget:
    """Return the budget that `usd=1,tokens=5000` and its like say, over what `base` says.

    Raises:
        UsageError: an unknown limit, or a value that is no positive number.
    """
    changes = read_limits(texts)
    base = base or Budget()
    calls = {**base.calls, **changes.pop("calls", {})}
    fields = {name: changes.get(name, getattr(base, name)) for name in Budget.__struct_fields__ if name != "calls"}
    return Budget(calls=calls, **fields)


def read_limits(texts: Iterable[str]) -> dict[str, Any]:
    """Return the limits that were named, by their field of `Budget`."""
    found: dict[str, Any] = {}
    for text in texts:
        for part in text.split(","):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                raise UsageError("bad_budget", f"`{one_line(part, 60)}` is no limit", hint=BUDGET_HINT)
            if name.startswith("calls.") and len(name) > len("calls."):
                found.setdefault("calls", {})[_call_class(name)] = _count(name, value)
            elif name in _LIMITS:
                field, read = _LIMITS[name]
                found[field] = read(name, value)
            else:
                raise UsageError("bad_budget", f"unknown limit `{one_line(name, 60)}`", hint=_guessed(name))
    return found


def limits_of(texts: Iterable[str]) -> Limits:
    """Return the limits that were named, as the API takes them.

    Raises:
        UsageError: an unknown limit, or a value that is no positive number.
    """
    from comity.server.bodies import CallLimits, Limits

    found = read_limits(texts)
    usd_micro = found.pop("usd_micro", None)
    calls = CallLimits(**found.pop("calls", {}))
    return Limits(usd=None if usd_micro is None else usd_micro / 1e6, calls=calls, **found)


def read_json(text: str, what: str) -> Any:
    """Return strict JSON.

    Raises:
        UsageError: it is none, has a key twice, or NaN; the hint says how text is written.
    """
    try:
        return parse(text, what)
    except UsageError as error:
        if error.message.startswith(f"`{what}`: Expecting"):
            hint = "text needs double quotes inside the shell's own: '\"text\"'"
            raise UsageError("not_json", f"{what}: `{one_line(text, 60)}` is not JSON", hint=hint) from None
        raise


def read_target(text: str) -> tuple[str, str]:
    """Return file and agent of `FILE[:AGENT]`; the agent is empty where none was named."""
    file, colon, agent = text.rpartition(":")
    return (file, agent) if colon and file else (text, "")


def _count(name: str, text: str) -> int:
    number = _number(name, text)
    if number != int(number):
        raise UsageError("bad_budget", f"`{name}` must be a whole number, not `{one_line(text, 40)}`", hint=BUDGET_HINT)
    return int(number)


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise UsageError(
            "bad_budget", f"`{name}` must be a number, not `{one_line(text, 40)}`", hint=BUDGET_HINT
        ) from None
    if not math.isfinite(number) or number < 0:
        raise UsageError(
            "bad_budget",
            f"`{name}` must not be negative or endless, not `{text}`",
            hint="leave a limit out to have none",
        )
    return number


def _micro(name: str, text: str) -> int:
    return round(_number(name, text) * 1_000_000)


_LIMITS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "tokens": ("tokens", _count),
    "usd": ("usd_micro", _micro),
    "wall_s": ("wall_s", _number),
    "context_tokens": ("context_tokens", _count),
}


def _call_class(name: str) -> str:
    from comity.journal.spec import Effect

    kind = name.removeprefix("calls.")
    known = [*map(str, Effect), "model"]
    if kind not in known:
        raise UsageError("bad_budget", f"unknown limit `{one_line(name, 60)}`", hint=_guessed(name))
    return kind


def _guessed(name: str) -> str:
    from comity.journal.spec import Effect
    from comity.runtime.config_keys import guess

    return guess(name, [*_LIMITS, *(f"calls.{item}" for item in [*Effect, "model"])])
