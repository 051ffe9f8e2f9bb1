"""Budgets: what is left, what a call may cost at most, and what a child gets. Pure; fails closed."""

from __future__ import annotations

from comity.journal.budget import NO_COST, Budget, Cost, Usage
from comity.journal.ports import ModelLimits
from comity.journal.verdict import Park

TOKENS_PER_MESSAGE = 8
"""What a chat format adds to a message's own text, as an upper bound."""


def model_reserve(limits: ModelLimits, context_bytes: int, messages: int, output_tokens: int) -> Cost:
    """Return the most that a model call can cost.

    A byte-level tokenizer makes at most one token of a byte, so the context's bytes bound its tokens.
    """
    return limits.cost(context_bytes + TOKENS_PER_MESSAGE * messages, output_tokens)


def over(budget: Budget, usage: Usage, name: str, reserve: Cost, elapsed_s: float) -> Park | None:
    """Return why one more call of class `name` with this reserve would break the budget, or None."""
    held = usage.used + usage.reserved + reserve
    if budget.tokens is not None and held.tokens_in + held.tokens_out > budget.tokens:
        return _park("tokens", held.tokens_in + held.tokens_out, budget.tokens, "tokens")
    if budget.usd_micro is not None and held.usd_micro > budget.usd_micro:
        return _park("usd", held.usd_micro / 1e6, budget.usd_micro / 1e6, "USD")
    limit = budget.calls.get(name)
    if limit is not None and usage.calls.get(name, 0) + 1 > limit:
        return _park(f"calls.{name}", usage.calls.get(name, 0) + 1, limit, f"{name} calls")
    if budget.wall_s is not None and elapsed_s > budget.wall_s:
        return _park("wall_s", round(elapsed_s), budget.wall_s, "seconds")
    return None


def over_context(budget: Budget, limits: ModelLimits, tokens: int) -> Park | None:
    """Return why a context of at most `tokens` does not fit, or None."""
    fits = [limit for limit in (budget.context_tokens, limits.context_tokens_max) if limit is not None]
    if fits and tokens > min(fits):
        return Park("over_context", f"the context may have {tokens} tokens, the limit is {min(fits)}")
    return None


def left(budget: Budget, usage: Usage) -> Budget:
    """Return what neither was used nor is reserved."""
    held = usage.used + usage.reserved
    tokens = None if budget.tokens is None else max(budget.tokens - held.tokens_in - held.tokens_out, 0)
    usd = None if budget.usd_micro is None else max(budget.usd_micro - held.usd_micro, 0)
    calls = {name: max(limit - usage.calls.get(name, 0), 0) for name, limit in budget.calls.items()}
    return Budget(tokens, usd, calls, budget.wall_s, budget.context_tokens)


def carve(budget: Budget, usage: Usage, asked: Budget | None) -> Budget | Park:
    """Return the budget of a child: what it asked for where that is left, else half of what is left."""
    rest = left(budget, usage)
    if asked is None:
        half = {name: number // 2 for name, number in rest.calls.items()}
        tokens = None if rest.tokens is None else rest.tokens // 2
        usd = None if rest.usd_micro is None else rest.usd_micro // 2
        return Budget(tokens, usd, half, rest.wall_s, rest.context_tokens)
    for name, mine, wanted in (("tokens", rest.tokens, asked.tokens), ("usd", rest.usd_micro, asked.usd_micro)):
        if mine is not None and wanted is not None and wanted > mine:
            return _park(f"a child's {name}", wanted, mine, name)
    for name, number in asked.calls.items():
        if name in rest.calls and number > rest.calls[name]:
            return _park(f"a child's calls.{name}", number, rest.calls[name], "calls")
    calls = {**{name: number // 2 for name, number in rest.calls.items()}, **asked.calls}
    return Budget(
        _narrower(asked.tokens, None if rest.tokens is None else rest.tokens // 2),
        _narrower(asked.usd_micro, None if rest.usd_micro is None else rest.usd_micro // 2),
        calls,
        min((limit for limit in (asked.wall_s, rest.wall_s) if limit is not None), default=None),
        min((limit for limit in (asked.context_tokens, rest.context_tokens) if limit is not None), default=None),
    )


def spent(usage: Usage) -> dict[str, object]:
    """Return a usage as a child's end tells it to its parent."""
    used = usage.used
    return {
        "tokens_in": used.tokens_in,
        "tokens_out": used.tokens_out,
        "usd_micro": used.usd_micro,
        "calls": usage.calls,
    }


def _narrower(asked: int | None, default: int | None) -> int | None:
    return default if asked is None else asked


def _park(what: str, would: float, limit: float, unit: str) -> Park:
    return Park("over_budget", f"`{what}` would come to {would:g} {unit}, the limit is {limit:g}")


__all__ = ["NO_COST", "carve", "left", "model_reserve", "over", "over_context", "spent"]
