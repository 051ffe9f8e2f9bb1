"""What else could watch: nothing, locks, versions, flip counts, route-flap damping. Each tells what it would stop."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from comity.coordination.detectors.motion import goal_of, moves, resource_of, step_of
from comity.journal.world import Acted, Change, Seen, Settled, WorldEvent
from comity.testing.corpus import Setting

Alarms = Iterable[tuple[str, Sequence[str]]]


class NoCoordination:
    """Nobody watches."""

    name = "no coordination"

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def feed(self, event: WorldEvent) -> Alarms:
        return ()


class Mutex:
    """A lock for each resource, held while a call runs: it stops a second actor in that time."""

    name = "mutex a resource"

    def __init__(self, setting: Setting) -> None:
        self._held: dict[str, tuple[str, str]] = {}

    def feed(self, event: WorldEvent) -> Alarms:
        if isinstance(event, Settled):
            self._held = {key: held for key, held in self._held.items() if held[0] != event.call}
        if not isinstance(event, Acted):
            return ()
        found = []
        for resource in {resource_of(change.field) for change in event.changes}:
            actor = self._held.get(resource, ("", event.actor))[1]
            if actor != event.actor:
                found.append((self.name, (actor, event.actor)))
            self._held[resource] = (event.call, event.actor)
        return found


class Versions:
    """Optimistic concurrency: a decision that has read an older version of anything is stopped."""

    name = "version OCC"

    def __init__(self, setting: Setting) -> None:
        self._newest: dict[str, tuple[int, str]] = {}

    def feed(self, event: WorldEvent) -> Alarms:
        if isinstance(event, Seen):
            self._note(event.field, event.version, "")
        if not isinstance(event, Acted):
            return ()
        found = []
        for read in event.reads:
            version, by = self._newest.get(read.field, (0, ""))
            if version > read.version:
                found.append((self.name, tuple(filter(None, (event.actor, by)))))
        for change in event.changes:
            self._note(change.field, change.version, event.actor)
        return found

    def _note(self, field: str, version: int, by: str) -> None:
        if version > self._newest.get(field, (0, ""))[0]:
            self._newest[field] = (version, by)


class Flips:
    """Three or more changes of direction of one field within 300 s."""

    name = ">= 3 flips in 300 s"

    def __init__(self, setting: Setting) -> None:
        self._last: dict[str, tuple[Change, str]] = {}
        self._flips: defaultdict[str, deque[tuple[int, str, str]]] = defaultdict(deque)

    def feed(self, event: WorldEvent) -> Alarms:
        found: list[tuple[str, Sequence[str]]] = []
        for change in event.changes if isinstance(event, Acted) else ():
            was, by = self._last.get(change.field, (None, ""))
            if not moves(change):
                continue
            assert isinstance(event, Acted)
            self._last[change.field] = (change, event.actor)
            if was is None or not _is_flip(was, change):
                continue
            flips = self._flips[change.field]
            flips.append((event.at_us, event.actor, by))
            while flips[0][0] < event.at_us - 300_000_000:
                flips.popleft()
            if len(flips) == 3:
                found.append((self.name, sorted({actor for flip in flips for actor in flip[1:]})))
        return found


def _is_flip(was: Change, change: Change) -> bool:
    one, other = step_of(was), step_of(change)
    if one is not None and other is not None:
        return one * other < 0
    return goal_of(change) == was.before


class FlapDamping:
    """RFC 2439: 500 for each change of a field, half as much after 15 minutes, suppressed at 2,000 until below 750."""

    name = "RFC 2439 damping"

    def __init__(self, setting: Setting) -> None:
        self._penalties: dict[str, tuple[float, int, bool]] = {}
        self._actors: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=4))

    def feed(self, event: WorldEvent) -> Alarms:
        found = []
        for change in event.changes if isinstance(event, Acted) else ():
            if not moves(change):
                continue
            assert isinstance(event, Acted)
            penalty, at_us, is_held = self._penalties.get(change.field, (0.0, event.at_us, False))
            penalty *= 0.5 ** (max(0, event.at_us - at_us) / 900e6)
            is_held = is_held and penalty >= 750.0
            penalty += 500.0
            self._actors[change.field].append(event.actor)
            if penalty >= 2000.0 and not is_held:
                is_held = True
                found.append((self.name, sorted(set(self._actors[change.field]))))
            self._penalties[change.field] = (penalty, event.at_us, is_held)
        return found


PEERS = (NoCoordination, Mutex, Versions, Flips, FlapDamping)
