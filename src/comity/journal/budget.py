"""Budgets and costs: what a task may spend, what a call spent. Money is counted in millionths of a US dollar."""

from __future__ import annotations

import msgspec

from comity.journal.naming import is_named


class Cost(msgspec.Struct, frozen=True, array_like=True):
    """What a call used, or may use at most when it stands in an intent as its reserve."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd_micro: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Return the sum, field by field."""
        return Cost(
            self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out, self.usd_micro + other.usd_micro
        )

    def __sub__(self, other: Cost) -> Cost:
        """Return the difference, field by field."""
        return Cost(
            self.tokens_in - other.tokens_in, self.tokens_out - other.tokens_out, self.usd_micro - other.usd_micro
        )


NO_COST = Cost()


class Budget(msgspec.Struct, frozen=True, omit_defaults=True):
    """Limits of one task and everything below it; None is no limit.

    `calls` limits the number of performed calls by effect class (`{"irreversible": 1}`) or `model`. A child's budget
    is carved out of its parent's: it moves in the unit that spawns and what is left returns in the child's last unit.
    """

    tokens: int | None = None
    usd_micro: int | None = None
    calls: dict[str, int] = {}
    wall_s: float | None = None
    context_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task and its ended children used so far, and what is reserved by calls without an outcome."""

    used: Cost = NO_COST
    reserved: Cost = NO_COST
    calls: dict[str, int] = {}


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task may do: the tools, models and agents it may use. A child's is the intersection with its parent's."""

    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    given_by: str = ""
    chain: tuple[str, ...] = ()

    def narrowed(self, other: Grant) -> Grant:
        """Return what both allow, handed down by this one."""
        return Grant(
            tools=tuple(name for name in other.tools if name in self.tools),
            models=tuple(name for name in other.models if is_named(name, self.models)),
            agents=tuple(name for name in other.agents if is_named(name, self.agents)),
            given_by=other.given_by,
            chain=(*self.chain, self.given_by),
        )
