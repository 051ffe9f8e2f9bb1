"""Claims: declared intents over a scope, and what they mean for an act of somebody else.

People stand over operators over agents; a claim never holds its own owner back, nor whoever repairs a broken invariant.
Breadth, length and number are capped, so that nobody claims everything for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from comity.coordination.handling import is_number
from comity.coordination.naming import folded
from comity.coordination.picture import Picture, covers
from comity.core.errors import UsageError
from comity.journal.naming import is_principal
from comity.journal.world import Change, Claim, Rank

RANKS: dict[Rank, int] = {"agent": 0, "operator": 1, "person": 2}
LENGTH_S_MAX: dict[Rank, float] = {"agent": 4 * 3_600, "operator": 14 * 86_400, "person": 90 * 86_400}
"""For so long a claim may hold at most; a longer change is claimed anew."""
CLAIMS_MAX: dict[Rank, int] = {"agent": 20, "operator": 1_000, "person": 1_000}
"""So many claims an owner may have in force."""
_WILD = re.compile(r"[*?\[]")


def check_claim(claim: Claim, picture: Picture, now_us: int) -> None:
    """Refuse a claim that is too broad, too long, one too many, or over what another holds exclusively.

    Raises:
        UsageError: with the way out.
    """
    length_s = (claim.until_us - now_us) / 1e6
    if length_s <= 0:
        raise UsageError("claim_over", f"claim `{claim.id}` would be over already", hint="give a time to come")
    if length_s > LENGTH_S_MAX[claim.rank]:
        longest = LENGTH_S_MAX[claim.rank] / 3_600
        raise UsageError(
            "claim_too_long",
            f"a claim of an {claim.rank} lasts at most {longest:g} h, not {length_s / 3_600:g} h",
            hint="claim for as long as the change takes, and claim again if it takes longer",
        )
    _check_breadth(claim, picture)
    mine = [item for item in picture.claims.values() if item.owner == claim.owner and item.until_us > now_us]
    if len(mine) >= CLAIMS_MAX[claim.rank] and claim.id not in picture.claims:
        raise UsageError("too_many_claims", f"`{claim.owner}` has {len(mine)} claims", hint="end one first")
    for other in picture.claims.values():
        is_in_force = other.since_us <= now_us < other.until_us and other.owner != claim.owner
        is_same = covers(other.scope, claim.scope) or covers(claim.scope, other.scope)
        if is_in_force and is_same and "exclusive" in (other.mode, claim.mode) and _outranks(other.rank, claim.rank):
            raise UsageError(
                "claimed_already",
                f"`{claim.scope}` is claimed ({other.mode}) until {other.until_us}, all of it or a part",
                hint="wait until it ends, or claim less",
                retry="rethink",
            )


def is_authorised(named: Mapping[str, Iterable[str]], scope: str, principal: str) -> bool:
    """Tell whether a pattern that covers all of a scope names a principal; a resource stands for all of its fields."""
    return any(
        (covers(folded(pattern), scope) or covers(folded(pattern), f"{scope}.*")) and is_principal(principal, who)
        for pattern, who in named.items()
    )


def held_back(change: Change, actor: str, rank: Rank, picture: Picture, now_us: int) -> Claim | None:
    """Return the claim that holds a change back, None where none does."""
    for claim in picture.claims_over(change.field, now_us):
        if claim.owner != actor and _outranks(claim.rank, rank) and not _allows(claim, change, picture, actor, now_us):
            return claim
    return None


def under(changes: Iterable[Change], actor: str, picture: Picture, now_us: int) -> str:
    """Return the id of the actor's own claim under which it makes these changes, empty for none."""
    for change in changes:
        for claim in picture.claims_over(change.field, now_us):
            if claim.owner == actor:
                return claim.id
    return ""


def _outranks(holder: Rank, other: Rank) -> bool:
    return RANKS[holder] >= RANKS[other]


def _allows(claim: Claim, change: Change, picture: Picture, actor: str, now_us: int) -> bool:
    if claim.mode == "shared":
        return any(item.owner == actor and item.mode == "shared" for item in picture.claims_over(change.field, now_us))
    if claim.mode not in ("up-only", "down-only"):
        return False
    return goes(change, picture, "up" if claim.mode == "up-only" else "down")


def goes(change: Change, picture: Picture, direction: Literal["up", "down", "any"]) -> bool:
    """Tell whether a change can only move a number that way, whatever becomes of what is in flight on its field."""
    if direction == "any" or not is_number(change.value):
        return direction == "any"
    way = 1.0 if direction == "up" else -1.0
    value = _number(change.value)
    if change.op == "add":
        return value * way >= 0
    before = picture.peek(change.field).value
    if change.op != "set" or not is_number(before):
        return False
    flying = [
        item for flight in picture.on_field(change.field) for item in flight.effects if item.field == change.field
    ]
    furthest = max(way * _number(item) for item in (before, *(item.value for item in flying if item.op == "set")))
    return value * way >= furthest + sum(max(0.0, way * _number(item.value)) for item in flying if item.op == "add")


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0


def _check_breadth(claim: Claim, picture: Picture) -> None:
    first = claim.scope.split("/")[0]
    if _WILD.search(first) or not first:
        raise UsageError(
            "claim_too_broad",
            f"`{claim.scope}` would claim more than one kind of resource",
            hint="begin with the kind: `service/*`, `service/web.instances`",
        )
    known = any(kind.template.text.split("/")[0].casefold() == first for kind in picture.world.kinds.values())
    if not known:
        kinds = ", ".join(f"`{kind.template.text}`" for kind in picture.world.kinds.values())
        raise UsageError("unknown_scope", f"`{claim.scope}` covers nothing of the world", hint=f"it has {kinds}")
