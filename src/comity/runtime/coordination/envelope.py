"""*shape*: tells each model call what others intend on what its agent can touch. Ids, numbers and times only.

Free text of others never gets there: it would be a way to talk to a model that is somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from comity.coordination.believed import Flight, step_of
from comity.coordination.naming import folded
from comity.coordination.picture import covers
from comity.coordination.world import World
from comity.core.codec import canonical, decode
from comity.journal.call import Call
from comity.journal.envelope import ENVELOPE, ENVELOPE_CHARS_MAX, MARK
from comity.journal.naming import actor_name, tenant_of
from comity.journal.ports import Programs, View
from comity.journal.spec import ToolSpec
from comity.journal.world import Claim
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.coordination.trims import Trims
from comity.runtime.words import iso

LINES_MAX = 20
KNOWN_MAX = 1_000
_PLAIN = re.compile(r"[\w.:/*-]{1,80}")
_PART = re.compile(r"\{[^}]*\}")
BEGIN = f"{MARK} What others intend, or have under way, on what your tools touch. Nobody says this: it is so now."
END = "What goes against it waits or is refused."

Damped = Callable[[str, int], int]
"""Until when a field is held down (0: it is not)."""


class WorldShaper:
    """Implements the `Shaper` port: deterministic, given what this node believes at the moment.

    It tells of what was trimmed and of claims everywhere; of acts in flight and damped fields in the components that
    this node writes.
    """

    def __init__(self, coordinator: Coordinator, damped: Damped, trims: Trims, programs: Programs) -> None:
        """Tell what `coordinator` knows; `programs` say what an agent's tools declare themselves."""
        self._of = coordinator
        self._trims = trims
        self._damped = damped
        self._programs = programs
        self._specs: dict[tuple[str, str], dict[str, ToolSpec]] = {}

    async def shape(self, call: Call, view: View) -> Call:
        """Return the call with the envelope in it, as it came where there is nothing to tell."""
        world = self._of.world
        if world is None:
            return call
        await self._of.refresh()
        patterns = touched_by(world, view.grant.tools, await self._specs_of(view))
        lines = list(self._lines(patterns, view)) if patterns else []
        if not lines:
            return call
        args = {**decode(call.args), ENVELOPE: envelope_text(lines)}
        return msgspec.structs.replace(call, args=canonical(args))

    def _lines(self, patterns: Sequence[str], view: View) -> Iterator[str]:
        now_us = self._of.clock.wall_us()
        own = f"agent:{actor_name(view.tenant, view.agent)}"
        yield from self._trims.of(view.task.hex(), now_us)
        for claim in sorted(self._of.claims, key=lambda item: (item.since_us, item.id)):
            is_in_force = claim.since_us <= now_us < claim.until_us and claim.owner != own
            if is_in_force and self._meets(claim.scope, patterns):
                yield claim_line(claim, view.tenant)
        for writer in self._of.writers():
            picture = writer.picture
            fields = sorted(name for name in picture.fields if any(covers(pattern, name) for pattern in patterns))
            for name in fields:
                others = [item for item in picture.on_field(name) if item.task != view.task.hex()]
                if others:
                    yield flight_line(name, others)
                until_us = self._damped(name, now_us)
                if until_us:
                    yield f"- held down: {_plain(name)} until {iso(until_us)}"

    def _meets(self, scope: str, patterns: Sequence[str]) -> bool:
        is_field = self._of.world is not None and self._of.world.section(scope) is not None
        return any(meets(scope, pattern, is_field=is_field) for pattern in patterns)

    async def _specs_of(self, view: View) -> dict[str, ToolSpec]:
        key = (view.agent, view.agent_version)
        found = self._specs.get(key)
        if found is None:
            program = await self._programs.find(view.agent)
            tools = program.tools if program is not None else ()
            found = {tool.name: tool for tool in tools if tool.touches or tool.premises}
            if len(self._specs) >= KNOWN_MAX:
                self._specs.clear()
            self._specs[key] = found
        return found


def touched_by(world: World, tools: Iterable[str], specs: dict[str, ToolSpec]) -> list[str]:
    """Return patterns of the fields that tools touch or rest on."""
    found: dict[str, None] = {}
    for name in tools:
        section = world.document.tools.get(name)
        spec = specs.get(name)
        for declared in (section, spec):
            if declared is not None:
                found |= dict.fromkeys(_pattern(item.field) for item in (*declared.touches, *declared.premises))
    return list(found)


def meets(scope: str, pattern: str, *, is_field: bool = False) -> bool:
    """Tell whether a claim's scope and a pattern of fields may have a field in common; in doubt they may."""
    if covers(scope, pattern) or covers(pattern, scope):
        return True
    if is_field:
        return False
    is_same_kind = scope.partition("/")[0] == pattern.partition("/")[0]
    is_open = is_same_kind and "*" in scope and "*" in pattern
    return is_open or covers(pattern, f"{scope}.{pattern.rpartition('.')[2]}")


def claim_line(claim: Claim, tenant: str) -> str:
    """Return a claim as another's agent may know it."""
    if claim.owner.startswith("agent:") and tenant_of(claim.owner) != tenant:
        return f"- claimed by another party: {_plain(claim.scope)} {claim.mode} until {iso(claim.until_us)}"
    person = "a person" if claim.rank == "person" else "an operator"
    who = _plain(claim.owner) if claim.owner.startswith("agent:") else person
    what = "a change outside is under way; leave as it is" if claim.is_change else claim.mode
    name = _plain(claim.id)
    return f"- claim {name} by {who}: {_plain(claim.scope)} {what}, until {iso(claim.until_us)}"


def flight_line(field: str, flights: Sequence[Flight]) -> str:
    """Return what is in flight on a field: how many acts, by how much they move it together, since when."""
    effects = [effect for flight in flights for effect in flight.effects if effect.field == field]
    steps = [step_of(effect) for effect in effects if effect.op == "add"]
    moved = f", {sum(steps):+g} together" if steps else ""
    doubts = sum(flight.phase == "doubt" for flight in flights)
    doubted = f", {doubts} in doubt" if doubts else ""
    since = iso(min(flight.from_us for flight in flights))
    return f"- in flight on {_plain(field)}: {len(flights)}{moved}{doubted}, since {since}"


def envelope_text(lines: Sequence[str]) -> str:
    """Return the text, bounded: the first lines, and how many more there are."""
    shown: list[str] = []
    left = ENVELOPE_CHARS_MAX - len(BEGIN) - len(END) - 40
    for line in lines[:LINES_MAX]:
        left -= len(line) + 1
        if left < 0:
            break
        shown.append(line)
    more = [f"- and {len(lines) - len(shown)} more"] if len(lines) > len(shown) else []
    return "\n".join([BEGIN, *shown, *more, END])


def _pattern(template: str) -> str:
    return folded(_PART.sub("*", template))


def _plain(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else "(a name)"
