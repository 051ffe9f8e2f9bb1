"""What was recorded and is still held: happenings, fields, and the indexes that join who wrote with who read.

Events come in any order and more than once: what is kept is the same. The oldest leave where there are too many or
they are too old; what comes later than that for them is counted as late. Counts of what left stay.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from comity.coordination.causality.answer import NodeKind, is_principal, named_node, node_id, task_of
from comity.coordination.causality.happening import FieldMemory, Happening, Named, versioned
from comity.coordination.causality.linked import Linked
from comity.journal.world import (
    Acted,
    Change,
    Claimed,
    FieldValue,
    Measured,
    Published,
    Read,
    Seen,
    Settled,
    Turned,
    WorldEvent,
)

PARTS_MAX = 64
"""Changes, reads and named causes of one happening, and agents counted for one field, each."""


class MapLimits(msgspec.Struct, frozen=True):
    """How much the map holds: happenings not older than `span_s`, fields, pairs of agents over a field."""

    happenings_max: int = 10_000
    fields_max: int = 10_000
    pairs_max: int = 10_000
    span_s: float = 86_400.0


class MapStatistics(msgspec.Struct):
    """How many events were taken, were told before, came too late, left again, or did not fit (`cut`)."""

    taken: int = 0
    repeated: int = 0
    late: int = 0
    left: int = 0
    cut: int = 0


class Recorded:
    """The store of the map: `take` an event, look a happening up by id, and see who touched which version.

    `circles` are those within one moment, once somebody (`origins`) worked them out since the last event.

    Cost: constant for each change and read of an event; eviction is amortised.
    """

    def __init__(self, limits: MapLimits) -> None:
        """Hold nothing yet."""
        self.limits = limits
        self.tally = MapStatistics()
        self.newest_us = 0
        self.floor_us = -1
        self.happenings: dict[str, Happening] = {}
        self.fields: dict[str, FieldMemory] = {}
        self.writers: dict[str, dict[str, None]] = {}
        self.readers: dict[str, dict[str, None]] = {}
        self.answers: dict[str, dict[str, None]] = {}
        self.pairs: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.circles: dict[str, tuple[int, int]] | None = None
        self._swept_us = 0

    def take(self, event: WorldEvent | Linked) -> bool:
        """Keep what the event says; return whether it said anything new."""
        is_new = self._taken(event)
        self.tally.taken += is_new
        self.newest_us = max(self.newest_us, event.at_us)
        self._evict()
        self.circles = None
        return is_new

    def find(self, name: str) -> Happening | None:
        """Return the happening of that id or bare name, a call before anything else."""
        if name in self.happenings:
            return self.happenings[name]
        kinds: tuple[NodeKind, ...] = ("call", "task", "observation", "claim")
        return next((made for kind in kinds if (made := self.happenings.get(node_id(kind, name)))), None)

    def in_order(self) -> list[Happening]:
        """Return all happenings by time and id."""
        return sorted(self.happenings.values(), key=lambda it: (it.at_us, it.id))

    def writer(self, version: str) -> Happening | None:
        """Return what made a version: the earliest act that did not fail to happen, else the earliest observation."""
        found = self.writers_of(version)
        return found[0] if found else None

    def writers_of(self, version: str) -> list[Happening]:
        """Return all that claim to have made a version, the likeliest first."""
        found = [self.happenings[key] for key in self.writers.get(version, ())]
        return sorted(found, key=lambda it: (it.kind != "call", it.end == "not_happened", it.at_us, it.id))

    # What each event says

    def _taken(self, event: WorldEvent | Linked) -> bool:
        match event:
            case Acted():
                return self._acted(event)
            case Settled():
                return self._settled(event)
            case Turned():
                return self._turned(event)
            case Seen():
                return self._seen(event)
            case Claimed():
                return self._claimed(event)
            case Linked():
                return self._linked(event)
            case Published() | Measured():
                return False

    def _acted(self, event: Acted) -> bool:
        call, is_new = self._happening("call", event.call, event.at_us)
        if call is None:
            return False
        call.at_us = min(call.at_us, event.at_us) if call.is_acted else event.at_us
        is_new |= not call.is_acted
        call.is_acted = True
        call.actor, call.tool = event.actor, event.tool
        call.task = event.task or task_of(event.call)
        for change in event.changes:
            is_new |= self._changed(call, change)
        for read in event.reads:
            is_new |= self._has_read(call, read)
        if event.caused_by:
            is_new |= self._names(call, Named(event.caused_by, "caused_by", event.caused_by))
        if event.observation:
            is_new |= self._names(call, Named(event.observation, "saw", event.observation))
        if event.claim:
            is_new |= self._names(call, Named(event.claim, "under", event.claim))
        self._made_by(call, f"agent:{event.actor}" if event.actor else "", event.at_us)
        return self._counted(is_new=is_new)

    def _settled(self, event: Settled) -> bool:
        call, _ = self._happening("call", event.call, event.at_us)
        if call is None:
            return False
        call.task = call.task or task_of(event.call)
        self._made_by(call, "", event.at_us)
        if call.end == event.end:
            return self._counted(is_new=False)
        is_final = bool(call.end) and call.end != "unknown"  # a doubt is resolved later; nothing else changes its mind
        if is_final and event.end == "unknown":
            return self._counted(is_new=False)
        call.end = max(call.end, event.end) if is_final else event.end
        return True

    def _turned(self, event: Turned) -> bool:
        call, is_new = self._happening("call", event.call, event.at_us)
        if call is None:
            return False
        said = f"{event.verdict}: {event.rule}"
        is_new |= call.turned != said
        call.turned_us, call.turned = max((call.turned_us, call.turned), (event.at_us, said))
        call.actor, call.tool = call.actor or event.actor, call.tool or event.tool
        call.task = call.task or task_of(event.call)
        self._made_by(call, f"agent:{event.actor}" if event.actor else "", event.at_us)
        return self._counted(is_new=is_new)

    def _seen(self, event: Seen) -> bool:
        name = event.id or f"{event.field}@{event.version}/{event.at_us}"
        seen, is_new = self._happening("observation", name, event.at_us)
        if seen is None:
            return False
        if not seen.field:
            is_new = True
            seen.field, seen.version, seen.actor = event.field, event.version, event.by
            if event.version > 0:
                self.writers.setdefault(versioned(event.field, event.version), {})[seen.id] = None
            self._moved(event.field, event.at_us, event.version, event.value)
        return self._counted(is_new=is_new)

    def _claimed(self, event: Claimed) -> bool:
        claim, is_new = self._happening("claim", event.claim.id, event.at_us)
        if claim is None:
            return False
        claim.actor, claim.task = event.claim.owner, event.claim.task
        self._made_by(claim, event.claim.owner, event.at_us)
        if event.is_over and not claim.end:
            claim.end, is_new = "over", True
        return self._counted(is_new=is_new)

    def _linked(self, event: Linked) -> bool:
        kind, name = named_node(event.effect)
        if is_principal(event.effect):
            self.tally.cut += 1  # nothing makes a principal
            return False
        if event.how != "caused_by" and not is_principal(event.cause):
            self._mentioned(*named_node(event.cause), event.at_us)
        evidence = f"{event.how} at {event.at_us}"
        if event.how == "answered":
            return self._answered(event, kind, name, evidence)
        effect, is_new = self._mentioned(kind, name, event.at_us)
        if effect is None:
            return False
        is_new |= self._names(effect, Named(event.cause, event.how, evidence))
        return self._counted(is_new=is_new)

    def _mentioned(self, kind: NodeKind, name: str, at_us: int) -> tuple[Happening | None, bool]:
        found, is_new = self._happening(kind, name, at_us)
        if found is not None and kind == "call":
            found.task = found.task or task_of(name)
            self._made_by(found, "", at_us)
        return found, is_new

    def _answered(self, event: Linked, kind: NodeKind, name: str, evidence: str) -> bool:
        answer, is_new = self._happening("answer", f"{name}@{event.at_us}", event.at_us)
        if answer is None:
            return False
        answer.task = task_of(name) or name
        self.answers.setdefault(answer.task, {})[answer.id] = None
        is_new |= self._names(answer, Named(event.cause, "answered", evidence))
        if kind == "call":
            is_new |= self._names(answer, Named(name, "asked", evidence))
        return self._counted(is_new=is_new)

    # The parts of a happening

    def _happening(self, kind: NodeKind, name: str, at_us: int) -> tuple[Happening | None, bool]:
        """Return the happening, made where it is new; None where its time has left the map."""
        key = node_id(kind, name)
        found = self.happenings.get(key)
        if found is not None:
            found.at_us = found.at_us if found.is_acted else min(found.at_us, at_us)
            found.last_us = max(found.last_us, at_us)
            return found, False
        if at_us <= self.floor_us:
            self.tally.late += 1
            return None, False
        made = self.happenings[key] = Happening(key, kind, name, at_us, at_us)
        return made, True

    def _made_by(self, made: Happening, principal: str, at_us: int) -> None:
        """Say which task made it, or which principal where no task did; the task was there at `at_us`."""
        if made.task:
            key = node_id("task", made.task)
            if key not in self.happenings and made.last_us <= self.floor_us:
                return
            is_held = key in self.happenings or at_us > self.floor_us
            task, _ = self._happening("task", made.task, at_us if is_held else made.last_us)
            if task is not None:  # Invariant: a task is held as long as one of its calls is
                task.last_us = max(task.last_us, made.last_us)
                task.actor = task.actor or (made.actor if made.kind == "call" else "")
        elif is_principal(principal):
            self._names(made, Named(principal, "made", principal))

    def _names(self, made: Happening, named: Named) -> bool:
        if named in made.named or len(made.named) >= PARTS_MAX:
            self.tally.cut += named not in made.named
            return False
        made.named[named] = None
        return True

    def _changed(self, call: Happening, change: Change) -> bool:
        key = versioned(change.field, change.version)
        if key in call.changes or len(call.changes) >= PARTS_MAX:
            self.tally.cut += key not in call.changes
            return False
        call.changes[key] = change
        state = self._moved(change.field, call.at_us, change.version, change.after)
        if state is not None:
            self._count(state.writes, call.actor)
            if change.version > 0 and (change.version, -call.at_us) > (state.written, -state.written_us):
                state.writer, state.actor = call.name, call.actor
                state.written, state.written_us = change.version, call.at_us
        if change.version > 0:
            self.writers.setdefault(key, {})[call.id] = None
            for reader in self.readers.get(key, ()):
                self._joined(call, self.happenings[reader], change.field)
        return True

    def _has_read(self, call: Happening, read: Read) -> bool:
        key = versioned(read.field, read.version)
        if key in call.reads or len(call.reads) >= PARTS_MAX:
            self.tally.cut += key not in call.reads
            return False
        call.reads[key] = read
        state = self._moved(read.field, call.at_us, 0, None)
        if state is not None:
            self._count(state.reads, call.actor)
        if read.version > 0:
            self.readers.setdefault(key, {})[call.id] = None
            for writer in self.writers.get(key, ()):
                self._joined(self.happenings[writer], call, read.field)
        return True

    def _joined(self, writer: Happening, reader: Happening, field: str) -> None:
        if writer.kind != "call" or writer.actor == reader.actor or writer.at_us > reader.at_us:
            return
        key = (writer.actor, reader.actor, field)
        if key not in self.pairs and len(self.pairs) >= self.limits.pairs_max:
            self.tally.cut += 1
            return
        count, last_us = self.pairs.get(key, (0, 0))
        self.pairs[key] = (count + 1, max(last_us, reader.at_us))

    def _moved(self, field: str, at_us: int, version: int, value: FieldValue) -> FieldMemory | None:
        state = self.fields.get(field)
        if state is None:
            state = self.fields[field] = FieldMemory(field, last_us=at_us)
        if value is not None and (at_us, version) >= (state.valued_us, state.valued):
            state.value, state.valued_us, state.valued = value, at_us, version
        state.version = max(state.version, version)
        state.last_us = max(state.last_us, at_us)
        return state

    def _count(self, counts: dict[str, int], actor: str) -> None:
        if actor in counts or len(counts) < PARTS_MAX:
            counts[actor] = counts.get(actor, 0) + 1
        else:
            self.tally.cut += 1

    def _counted(self, *, is_new: bool) -> bool:
        self.tally.repeated += not is_new
        return is_new

    # What leaves

    def _evict(self) -> None:
        limits = self.limits
        span_us = int(limits.span_s * 1_000_000)
        if self.newest_us - self._swept_us > span_us // 8:
            self._swept_us = self.newest_us
            old = [it for it in self.happenings.values() if it.last_us < self.newest_us - span_us]
            self._leave(sorted(old, key=lambda it: (it.last_us, it.id)))
        if len(self.happenings) > limits.happenings_max:
            in_order = sorted(self.happenings.values(), key=lambda it: (it.last_us, it.id))
            surplus = len(in_order) - limits.happenings_max
            self._leave(in_order[: max(surplus, limits.happenings_max // 8)])
        if len(self.fields) > limits.fields_max:
            by_age = sorted(self.fields.values(), key=lambda it: (it.last_us, it.name))
            surplus = len(by_age) - limits.fields_max
            for state in by_age[: max(surplus, limits.fields_max // 8)]:
                del self.fields[state.name]

    def _leave(self, leaving: Iterable[Happening]) -> None:
        for happening in leaving:
            del self.happenings[happening.id]
            self.floor_us = max(self.floor_us, happening.last_us)
            self.tally.left += 1
            for key in happening.changes:
                _discard(self.writers, key, happening.id)
            for key in happening.reads:
                _discard(self.readers, key, happening.id)
            if happening.kind == "observation":
                _discard(self.writers, versioned(happening.field, happening.version), happening.id)
            if happening.kind == "answer":
                _discard(self.answers, happening.task, happening.id)


def _discard(index: dict[str, dict[str, None]], key: str, id: str) -> None:
    held = index.get(key)
    if held is not None:
        held.pop(id, None)
        if not held:
            del index[key]
