"""The shared world as agents reach it: they claim, release and observe by calls of their own, each journaled.

A claim is named after its call, so that a call which is performed again makes no second one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec

from comity.coordination.naming import folded
from comity.core.clock import Clock
from comity.core.codec import canonical, decode
from comity.core.errors import ComityError, UsageError
from comity.core.ids import show_id
from comity.journal.call import Attempt, Call, Permit
from comity.journal.naming import actor_name
from comity.journal.ports import Store, View
from comity.journal.world import Claim, ClaimMode, FieldValue, Observation, Rank
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.coordination.observing import Taken
from comity.runtime.words import iso

SCOPE_CHARS_MAX = 300
REASON_CHARS_MAX = 1_000
FOR_S_MAX = 1e10
"""Beyond it is no time; how long a claim may be stands in `check_claim`."""
NAME_CHARS = 16
"""So much of a call's idempotency key names its claim."""
Observe = Callable[[Sequence[Observation], str], Awaitable[list[Taken]]]


class ClaimArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent claims."""

    scope: Annotated[str, msgspec.Meta(max_length=SCOPE_CHARS_MAX)]
    for_s: Annotated[float, msgspec.Meta(ge=-FOR_S_MAX, le=FOR_S_MAX)]
    mode: ClaimMode = "exclusive"
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARS_MAX)] = ""


class ReleaseArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which claim an agent gives up."""

    claim: str


class ObserveArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent saw."""

    field: str
    value: FieldValue


class WorldCalls:
    """Implements the `WorldDevice` port over a store; `observe` takes observations where their field is written."""

    def __init__(self, store: Store, clock: Clock, observe: Observe, rank_of: Callable[[str, str], Rank]) -> None:
        """Claim in `store`; `rank_of` says as what a principal may claim a scope."""
        self._store = store
        self._clock = clock
        self._observe = observe
        self._rank_of = rank_of

    async def perform(self, permit: Permit, call: Call, view: View) -> Attempt:
        """Perform one attempt."""
        try:
            return Attempt("done", canonical(await self._performed(permit, call, view)))
        except msgspec.ValidationError as error:
            text = str(error)
            return _failed(UsageError("bad_arguments", f"`{call.name}`: {text[:1].lower()}{text[1:]}"))
        except ComityError as error:
            return _failed(error)

    async def _performed(self, permit: Permit, call: Call, view: View) -> dict[str, Any]:
        given, who = decode(call.args), f"agent:{actor_name(view.tenant, view.agent)}"
        if call.name == "claim":
            return await self._claim(msgspec.convert(given, ClaimArgs), permit, view, who)
        if call.name == "release":
            return await self._release(msgspec.convert(given, ReleaseArgs), view, who)
        if call.name == "observe":
            return await self._saw(msgspec.convert(given, ObserveArgs), permit, view, who)
        raise UsageError("unknown_call", f"the world takes no `{call.name}`", hint="claim, release or observe")

    async def _claim(self, given: ClaimArgs, permit: Permit, view: View, who: str) -> dict[str, Any]:
        now_us, scope = self._clock.wall_us(), folded(given.scope)
        until_us, rank = now_us + round(given.for_s * 1e6), self._rank_of(scope, who)
        task = show_id(view.task)
        made = Claim(permit.key[:NAME_CHARS], scope, given.mode, who, now_us, until_us, rank, given.reason, task)
        if not view.rehearsed:
            made = await self._desk(who).claim(made)
        return {"claim": made.id, "scope": made.scope, "mode": made.mode, "until": iso(made.until_us)}

    async def _release(self, given: ReleaseArgs, view: View, who: str) -> dict[str, Any]:
        desk = self._desk(who)
        found = next((item for item in await desk.claims() if item.id == given.claim), None)
        if found is not None and found.owner != who:
            hint = "you can release your own claims"
            raise UsageError("not_yours", f"claim `{given.claim}` is another's", hint=hint, retry="rethink")
        is_held = found is not None and found.until_us > self._clock.wall_us()
        if is_held and not view.rehearsed:
            await desk.end_claim(given.claim)
        return {"claim": given.claim, "released": is_held}

    async def _saw(self, given: ObserveArgs, permit: Permit, view: View, who: str) -> dict[str, Any]:
        if view.rehearsed:
            return {"field": given.field, "taken": "proposed"}
        seen = Observation(given.field, given.value, self._clock.wall_us(), who, permit.key[:NAME_CHARS])
        (taken,) = await self._observe([seen], who)
        return {"field": taken.field, "taken": taken.taken}

    def _desk(self, who: str) -> WorldDesk:
        return WorldDesk(self._store, self._clock, who)


def _failed(error: ComityError) -> Attempt:
    return Attempt("failed", error=error.message, code=error.code, hint=error.hint)
