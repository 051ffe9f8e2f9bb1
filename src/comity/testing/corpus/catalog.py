"""The families of the corpus: stories of harm and their benign twins; a trace of one for each seed.

`REPORTED` seeds are those that figures are given for. No constant of a detector is chosen by looking at them: that is
what `TUNING` is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from comity.core.errors import UsageError
from comity.testing.corpus import back_and_forth, conflicts, crowds, futility, reasons
from comity.testing.corpus.background import add_background
from comity.testing.corpus.script import Script, Stories, Trace

TUNING = range(10_000)
REPORTED = range(1_000_000, 1_010_000)


class Family(msgspec.Struct, frozen=True):
    """Stories of one kind of harm, and their benign twins."""

    name: str
    harm: Stories
    benign: Stories


FAMILIES: Mapping[str, Family] = {
    name: Family(name, harm, benign)
    for name, (harm, benign) in {
        "oscillation": back_and_forth.OSCILLATION,
        "limit_cycle": back_and_forth.LIMIT_CYCLE,
        "direct_conflict": conflicts.DIRECT,
        "indirect_conflict": conflicts.INDIRECT,
        "implicit_conflict": conflicts.IMPLICIT,
        "stale": reasons.STALE,
        "undo_war": back_and_forth.UNDO_WAR,
        "intent_violation": reasons.INTENT,
        "cascade": crowds.CASCADE,
        "herding": crowds.HERDING,
        "domain_cap": crowds.DOMAIN,
        "livelock": futility.LIVELOCK,
        "contract_drift": futility.DRIFT,
    }.items()
}
"""Each family by its name."""


def trace(family: str, variant: str, seed: int) -> Trace:
    """Return the trace of a family's variant that `seed` always gives.

    Raises:
        UsageError: there is no such family, or no such variant in it.
    """
    stories = _stories(family)
    if variant not in stories:
        there = ", ".join(f"`{name}`" for name in stories)
        raise UsageError("unknown_variant", f"`{family}` has no variant `{variant}`", hint=f"there are: {there}")
    script = Script(family, variant, seed)
    culprits = stories[variant](script)
    add_background(script)
    return script.play(culprits)


def traces(family: str, seeds: Sequence[int]) -> Iterator[Trace]:
    """Yield a trace of each variant of a family, harm and benign, for each seed."""
    for variant in _stories(family):
        for seed in seeds:
            yield trace(family, variant, seed)


def _stories(family: str) -> Stories:
    if family not in FAMILIES:
        there = ", ".join(f"`{name}`" for name in FAMILIES)
        raise UsageError("unknown_family", f"there is no family `{family}`", hint=f"there are: {there}")
    return {**FAMILIES[family].harm, **FAMILIES[family].benign}
