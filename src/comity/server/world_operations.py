"""What the API tells and orders of the shared world: the file in force, observations, claims, plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

import msgspec

from comity.coordination.claims import is_authorised
from comity.coordination.document import WorldDocument
from comity.coordination.loading import read_world
from comity.coordination.loading_problem import WorldError
from comity.coordination.naming import folded
from comity.coordination.picture import covers
from comity.core.errors import GovernanceError, UsageError
from comity.core.ids import new_id, show_id
from comity.journal.world import Claim, Observation, Plan, Rank
from comity.runtime.coordination.observing import AHEAD_US
from comity.runtime.coordination.reading import in_order, read_snapshot
from comity.runtime.words import iso
from comity.server.asking import Ask
from comity.server.world_bodies import (
    ClaimBody,
    ClaimsQuery,
    FieldsQuery,
    ObservationsBody,
    PlanBody,
    PlansQuery,
    ReservationsQuery,
    WorldBody,
)
from comity.server.world_documents import (
    CheckDocument,
    ClaimDocument,
    ClaimList,
    EndedClaim,
    PlanDocument,
    PlanList,
    ReservationList,
    TakenList,
    WorldDocumentPage,
    claim_document,
    field_document,
    fields_shown,
    plan_document,
    problem_documents,
    reservation_document,
    taken_document,
    us,
)

T = TypeVar("T")


async def show(ask: Ask) -> WorldDocumentPage:
    """Show the world in force, with a page of its fields."""
    return await _page(ask, ask.query)


async def put(ask: Ask) -> WorldDocumentPage:
    """Put a world file in force; the same one again changes nothing."""
    body: WorldBody = ask.body
    await ask.world.apply(read_world(body.text, body.name).document, body.text)
    return await _page(ask, FieldsQuery())


async def check(ask: Ask) -> CheckDocument:
    """Tell what is wrong with a world file."""
    body: WorldBody = ask.body
    try:
        read_world(body.text, body.name)
    except WorldError as error:
        return CheckDocument(is_valid=False, problems=problem_documents(error.problems))
    return CheckDocument(is_valid=True, problems=[])


async def observe(ask: Ask) -> TakenList:
    """Take observations."""
    body: ObservationsBody = ask.body
    now_us, by = ask.site.clock.wall_us(), await ask.principal()
    seen = []
    for item in body.observations:
        name = item.id or show_id(new_id(ask.site.clock, ask.site.entropy))
        seen.append(Observation(item.field, item.value, us(item.at, now_us), by, name, us(item.until, 0)))
    found = await ask.site.coordination.observe(seen, by)
    return TakenList(by, [taken_document(item, by) for item in found])


async def reservations(ask: Ask) -> ReservationList:
    """List what is in flight."""
    query: ReservationsQuery = ask.query
    found = await read_snapshot(ask.site.store, ask.site.clock.wall_us())
    pattern = folded(query.field)
    flights = [
        flight
        for flight in in_order(found.picture.flights.values())
        if not pattern or any(_fits(effect.field, pattern) for effect in flight.effects)
    ]
    shown, has_more = _cut(flights, lambda flight: flight.ticket, query.after, query.limit)
    return ReservationList([reservation_document(flight) for flight in shown], has_more)


async def claims(ask: Ask) -> ClaimList:
    """List claims; a program is told of its own."""
    query: ClaimsQuery = ask.query
    now_us, by = ask.site.clock.wall_us(), await ask.principal()
    owner = by if ask.who.task is not None else query.owner
    found = [
        claim
        for claim in await ask.world.claims()
        if (query.has_over or claim.until_us > now_us)
        and (not owner or claim.owner == owner)
        and (not query.field or covers(claim.scope, folded(query.field)))
    ]
    shown, has_more = _cut(found, lambda claim: claim.id, query.after, query.limit)
    return ClaimList([claim_document(claim, now_us) for claim in shown], has_more)


async def claim(ask: Ask) -> ClaimDocument:
    """Make a claim."""
    body: ClaimBody = ask.body
    clock = ask.site.clock
    now_us, by = clock.wall_us(), await ask.principal()
    found = await read_snapshot(ask.site.store, now_us)
    since_us = us(body.since, now_us)
    if since_us > now_us + AHEAD_US and body.is_change:
        text = f"the change would begin at {iso(since_us)}, which is to come"
        hint = "announce it when it begins, or claim the scope from then on"
        raise UsageError("in_the_future", text, hint=hint, retry="rethink")
    scope = folded(body.scope)
    name = body.id or show_id(new_id(clock, ask.site.entropy))[-12:]
    await _refuse_foreign(ask, name, by)
    until_us = now_us + round(body.for_s * 1e6)
    rank, owner = _standing(ask, found.world.document, by, scope)
    task = show_id(ask.who.task) if ask.who.task is not None else ""
    made = Claim(
        name, scope, body.mode, owner, since_us, until_us, rank, body.reason, task=task, is_change=body.is_change
    )
    return claim_document(await ask.world.claim(made), now_us)


async def end_claim(ask: Ask) -> EndedClaim:
    """End a claim; a program may end its own."""
    name, by = ask.path["claim"], await ask.principal()
    await _refuse_foreign(ask, name, by)
    ended = await ask.world.end_claim(name)
    return EndedClaim(ended.id, ended.scope, ended.owner)


async def plans(ask: Ask) -> PlanList:
    """List plans."""
    query: PlansQuery = ask.query
    shown, has_more = _cut(await ask.world.plans(), lambda plan: plan.id, query.after, query.limit)
    return PlanList([plan_document(plan) for plan in shown], has_more)


async def plan(ask: Ask) -> PlanDocument:
    """Issue a plan."""
    body: PlanBody = ask.body
    now_us, by = ask.site.clock.wall_us(), await ask.principal()
    found = await read_snapshot(ask.site.store, now_us)
    scope = folded(body.scope)
    if ask.who.task is not None and not is_authorised(found.world.document.authority.plan, scope, by):
        text = f"`{by}` may issue no plan over `{scope}`"
        hint = "`authority.plan` of the world file names who may; an operator may"
        raise GovernanceError("may_not_plan", text, retry="never", hint=hint)
    issuer = by if ask.who.task is not None else f"operator:{ask.who.name}"
    until_us = now_us + round(body.for_s * 1e6)
    made = Plan(body.id, scope, issuer, until_us, body.steps, body.direction, body.agent)
    return plan_document(await ask.world.plan(made))


async def _page(ask: Ask, query: FieldsQuery) -> WorldDocumentPage:
    now_us = ask.site.clock.wall_us()
    found = await read_snapshot(ask.site.store, now_us)
    patterns = [folded(text) for text in query.field]
    for text in patterns:
        if "*" not in text and "." in text and "?" not in text:
            found.world.require(text)
            found.picture.state(text)
    names = [name for name in fields_shown(found.picture) if not patterns or any(_fits(name, it) for it in patterns)]
    shown, has_more = _cut(names, lambda name: name, query.after, query.limit)
    document = found.world.document
    return WorldDocumentPage(
        version=found.version,
        name=document.name,
        about=document.about,
        applied_at=iso(found.at_us),
        applied_by=found.by,
        document=msgspec.to_builtins(document),
        fields=[field_document(found, name, now_us) for name in shown],
        in_flight=len(found.picture.flights),
        has_more=has_more,
    )


def _standing(ask: Ask, document: WorldDocument, by: str, scope: str) -> tuple[Rank, str]:
    """Return the rank and the owner of a claim by whoever asks."""
    if ask.who.task is None:
        return "operator", f"operator:{ask.who.name}"
    return ("operator" if is_authorised(document.authority.claim, scope, by) else "agent"), by


async def _refuse_foreign(ask: Ask, name: str, by: str) -> None:
    """Refuse a program that names the claim of somebody else.

    Raises:
        GovernanceError: it does.
    """
    if ask.who.task is None:
        return
    found = next((item for item in await ask.world.claims() if item.id == name), None)
    if found is not None and found.owner != by:
        hint = "a program ends and changes its own claims; take another id, or ask a person"
        raise GovernanceError("may_not_end", f"claim `{name}` is another's", retry="never", hint=hint)


def _fits(name: str, pattern: str) -> bool:
    return covers(pattern, name) or fnmatchcase(name, pattern)


def _cut(items: Sequence[T], key: Callable[[T], str], after: str, limit: int) -> tuple[Sequence[T], bool]:
    """Return a page of items by their key, and whether there are more."""
    found = [item for item in sorted(items, key=key) if not after or key(item) > after]
    return found[:limit], len(found) > limit
