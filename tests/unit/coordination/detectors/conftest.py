"""A teller of events: short words for what the tests of detectors let happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from comity.coordination.detector import Alarm, Detector
from comity.coordination.detectors.surroundings import Described, Place
from comity.core.expression import parse
from comity.journal.world import Acted, Change, FieldValue, Measured, Published, Read, Seen, Settled, Turned

SECOND_US = 1_000_000


class Teller:
    """Tells events to one detector; keeps values and versions as the world would."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.invariants: dict[str, Any] = {}
        self.premises: dict[tuple[str, str], Any] = {}
        self.values: dict[str, FieldValue] = {}
        self.versions: dict[str, int] = {}
        self.calls = 0
        self.detector: Detector

    def watch(self, kind: Any, *more: Any, **named: Any) -> Any:
        self.detector = kind(Described(self.places, self.invariants, self.premises), *more, **named)
        return self.detector

    def invariant(self, name: str, holds: str, **let: str) -> None:
        self.invariants[name] = (parse(holds), let)
        for field in let.values():
            was = self.places.get(field, Place())
            self.places[field] = Place(settle_s=was.settle_s, invariants=(*was.invariants, name))

    def premise(self, tool: str, field: str, holds: str) -> None:
        self.premises[tool, field] = parse(holds)

    def acted(self, at_s: float, actor: str, field: str, value: Any, op: Any = "set", **named: Any) -> Acted:
        """Return an act, without letting it happen."""
        before = self.values.get(field)
        after = value if op == "set" else before + value
        version = self.versions.get(field, 1) + 1
        settle_s = self.places.get(field, Place()).settle_s
        change = Change(field, op, value, before, after, version, settle_s)
        reads = tuple(Read(name, number) for name, number in named.pop("reads", {}).items())
        self.calls += 1
        named = {"tool": "tool", "call": f"{actor}/{self.calls}"} | named
        return Acted(at_us=int(at_s * SECOND_US), actor=actor, changes=(change,), reads=reads, **named)

    def act(self, at_s: float, actor: str, field: str, value: Any, op: Any = "set", **named: Any) -> Sequence[Alarm]:
        act = self.acted(at_s, actor, field, value, op, **named)
        self.values[field], self.versions[field] = act.changes[0].after, act.changes[0].version
        self.last = act
        return self.detector.feed(act)

    def see(self, at_s: float, field: str, value: FieldValue, **named: Any) -> Sequence[Alarm]:
        if value != self.values.get(field):
            self.values[field], self.versions[field] = value, self.versions.get(field, 0) + 1
        return self.detector.feed(Seen(int(at_s * SECOND_US), field, value, self.versions[field], **named))

    def settle(self, at_s: float, call: str, end: Any = "happened") -> Sequence[Alarm]:
        return self.detector.feed(Settled(int(at_s * SECOND_US), call, end))

    def defer(self, at_s: float, actor: str, call: str, n: int, field: str = "a/1.x") -> Sequence[Alarm]:
        turned = Turned(int(at_s * SECOND_US), call, actor, "tool", "defer", "capacity", (field,), n)
        return self.detector.feed(turned)

    def publish(self, at_s: float, size: float, duplicates: int = 0, artefact: str = "file/a") -> Sequence[Alarm]:
        self.calls += 1
        call = f"generator/{self.calls}"
        return self.detector.feed(
            Published(int(at_s * SECOND_US), call, "generator", artefact, size, duplicates),
        )

    def measure(self, at_s: float, actor: str, value: float, goal: str = "goal") -> Sequence[Alarm]:
        return self.detector.feed(Measured(int(at_s * SECOND_US), actor, goal, value))


@pytest.fixture
def tell() -> Teller:
    return Teller()
