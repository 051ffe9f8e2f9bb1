"""Stale: an act whose reason is no longer there, or a decision that stands while its reason goes.

A version alone proves nothing: most of what has changed since a slow thinker read it still allows what was decided.
So the premise that the tool declares is asked again with the value as it is now; only where none is declared, a value
that is *much* different from the one that was read counts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import goal_of, is_same, number_of
from comity.coordination.detectors.recent import SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, FieldValue, Read, Seen, Settled, Turned, WorldEvent

VERSIONS_MAX = 64
"""So many versions of a field are remembered: a decision that is older rests on an unknown value."""


class StaleParameters(msgspec.Struct, frozen=True):
    """A number is much different where it moved by more than `moved_share` of the larger, and beyond its epsilon.

    A decision stands until its outcome, at most `standing_s_max`. `turned_min` refusals of one actor for its premises
    within `window_s` alarm too.
    """

    moved_share: float = 0.5
    standing_s_max: float = 900.0
    turned_min: int = 3
    window_s: float = 600.0
    quiet_s: float = 300.0


class _Line:
    """What is known of one field: its versions, and who made each."""

    def __init__(self) -> None:
        self.versions: OrderedDict[int, tuple[FieldValue, str]] = OrderedDict()
        self.newest = 0

    def add(self, version: int, value: FieldValue, actor: str) -> None:
        """Keep a version; one that comes late is kept too, but is not the newest."""
        if version in self.versions and not actor:
            return
        self.versions[version] = (value, actor)
        self.newest = max(self.newest, version)
        if len(self.versions) > VERSIONS_MAX:
            self.versions.popitem(last=False)

    def authors_since(self, version: int) -> set[str]:
        """Return who has changed the field after `version`."""
        return {actor for number, (_, actor) in self.versions.items() if number > version and actor}


class Stale:
    """Watches what decisions rest on."""

    name = "stale"

    def __init__(self, surroundings: Surroundings, parameters: StaleParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or StaleParameters()
        self._lines: Recent[str, _Line] = Recent()
        # field → calls without outcome that rest on it
        self._standing: Recent[str, OrderedDict[str, Acted]] = Recent()
        self._rests_on: Recent[str, tuple[str, ...]] = Recent()
        self._turned: Recent[str, tuple[int, int]] = Recent()
        self._latch: Latch[tuple[str, str]] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if isinstance(event, Seen):
            line = self._lines.use(event.field, _Line)
            line.add(event.version, event.value, "")
            return self._turn(event.field, event.value, event.at_us, event.by)
        if isinstance(event, Acted):
            return self._act(event)
        if isinstance(event, Settled):
            for field in self._rests_on.drop(event.call) or ():
                standing = self._standing.get(field)
                if standing is not None:
                    standing.pop(event.call, None)
        elif isinstance(event, Turned):
            return self._refuse(event)
        return ()

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for read in act.reads:
            alarm = self._judge(act, read)
            if alarm is not None and self._latch.would_begin((act.actor, read.field), act.at_us):
                return alarm
        return None

    def _act(self, act: Acted) -> Sequence[Alarm]:
        alarms = []
        for read in act.reads:
            alarm = self._judge(act, read)
            if alarm is not None and self._latch.begins((act.actor, read.field), act.at_us):
                alarms.append(alarm)
        own = {change.field for change in act.changes}
        for change in act.changes:
            line = self._lines.use(change.field, _Line)
            if change.before is not None and change.version - 1 not in line.versions:
                line.add(change.version - 1, change.before, "")
            line.add(change.version, goal_of(change), act.actor)
            own.update(self._surroundings.place(change.field).reaches)
            alarms += self._turn(change.field, goal_of(change), act.at_us, act.actor)
        self._rests_on.put(act.call, tuple(read.field for read in act.reads))
        for read in act.reads:
            # What the act moves itself is not what it rests on from then on.
            if read.field not in own:
                standing = self._standing.use(read.field, OrderedDict)
                standing[act.call] = act
                if len(standing) > VERSIONS_MAX:
                    standing.popitem(last=False)
        return alarms

    def _judge(self, act: Acted, read: Read) -> Alarm | None:
        """Return the alarm where the field is no longer as the act needs it."""
        line = self._lines.get(read.field)
        if line is None or line.newest <= read.version:
            return None
        value, author = line.versions[line.newest]
        authors = line.authors_since(read.version) - {act.actor}
        held = self._surroundings.rests(act.tool, read.field, value)
        if held or (held is None and (author == act.actor or not self._has_moved(line, read, value))):
            return None
        return self._alarm(act, read, line.newest, authors, "is no longer as it was decided on")

    def _has_moved(self, line: _Line, read: Read, value: FieldValue) -> bool:
        if read.version not in line.versions:
            return False
        was, _ = line.versions[read.version]
        bound = self._surroundings.place(read.field).epsilon
        one, other = number_of(was), number_of(value)
        if one is not None and other is not None:
            bound = max(bound, self._with.moved_share * max(abs(one), abs(other)))
        return not is_same(was, value, bound)

    def _turn(self, field: str, value: FieldValue, at_us: int, by: str) -> list[Alarm]:
        """Tell whose standing decision has just lost its reason."""
        alarms: list[Alarm] = []
        standing = self._standing.get(field) or OrderedDict()
        for act in list(standing.values()):
            if at_us - act.at_us > self._with.standing_s_max * SECOND_US:
                standing.pop(act.call)
            elif act.actor != by and self._surroundings.rests(act.tool, field, value) is False:
                standing.pop(act.call)
                read = next(read for read in act.reads if read.field == field)
                if self._latch.begins((act.actor, field), at_us):
                    alarm = self._alarm(act, read, 0, {by} - {""}, "was lost while the decision stood")
                    alarms.append(msgspec.structs.replace(alarm, at_us=at_us))
        return alarms

    def _refuse(self, event: Turned) -> Sequence[Alarm]:
        if event.verdict != "reject" or event.rule.partition(":")[0] not in {"premise", "validity"}:
            return ()
        since_us, count = self._turned.get(event.actor) or (event.at_us, 0)
        if event.at_us - since_us > self._with.window_s * SECOND_US:
            since_us, count = event.at_us, 0
        self._turned.put(event.actor, (since_us, count + 1))
        if count + 1 < self._with.turned_min or not self._latch.begins((event.actor, ""), event.at_us):
            return ()
        text = f"`{event.actor}` was turned away {count + 1} times for what no longer holds"
        facts = {"turned": float(count + 1)}
        return (Alarm(self.name, event.at_us, event.fields, (event.actor,), (event.call,), 1.0, text, facts),)

    def _alarm(self, act: Acted, read: Read, newest: int, authors: set[str], what: str) -> Alarm:
        return Alarm(
            self.name,
            act.at_us,
            (read.field,),
            tuple(sorted({act.actor, *authors})),
            (act.call,),
            1.0,
            f"`{read.field}`, on which `{act.actor}` rests, {what}",
            {"read": float(read.version), "newest": float(newest)},
        )
