"""Whatever happens, in whatever order: no detector fails, forgets its bounds, or is changed by a question."""

from __future__ import annotations

import gc

from hypothesis import given, settings
from hypothesis import strategies as st

from comity.coordination.detectors.panel import Panel
from comity.coordination.detectors.recent import KEYS_MAX, Latch, Recent
from comity.coordination.detectors.surroundings import Described, Place
from comity.core.expression import parse
from comity.journal.world import (
    Acted,
    Change,
    Claim,
    Claimed,
    Measured,
    Published,
    Read,
    Seen,
    Settled,
    Turned,
)

FIELDS = ["a/1.x", "a/2.x", "b/1.y", "b/2.y", "c/1.z"]
ACTORS = ["one", "two", "three", "four", "operator:ops"]
WORLD = Described(
    {
        "a/1.x": Place(10.0, 0.5, "p", "d1", 4, ("sum",), {"b/1.y": 2.0}),
        "a/2.x": Place(0.0, 0.0, "p", "d2", 4, ("sum",), {"b/1.y": -1.0}),
        "b/1.y": Place(60.0),
    },
    {"sum": (parse("a + b <= 6"), {"a": "a/1.x", "b": "a/2.x"})},
    {("t1", "b/1.y"): parse("value < 3")},
)

values = st.one_of(st.integers(-5, 5), st.floats(-5, 5), st.booleans(), st.sampled_from(["u", "v"]), st.none())
times = st.integers(0, 900).map(lambda second: second * 1_000_000)
calls = st.integers(0, 12).map(lambda number: f"c/{number}")
actors = st.sampled_from(ACTORS)
fields = st.sampled_from(FIELDS)
changes = st.builds(
    Change, fields, st.sampled_from(["set", "add", "remove", "append"]), values, values, values, st.integers(0, 9)
)
acted = st.builds(
    Acted,
    times,
    calls,
    actors,
    st.sampled_from(["t1", "t2"]),
    st.lists(changes, max_size=2).map(tuple),
    st.lists(st.builds(Read, fields, st.integers(0, 9)), max_size=2).map(tuple),
    st.sampled_from(["", "", "plan-1"]),
    st.sampled_from(["", "", "claim-1"]),
    st.one_of(st.just(""), calls),
    st.sampled_from(["", "o1", "o2"]),
    st.sampled_from([(), ("d1",), ("d2",)]),
    st.booleans(),
)
claims = st.builds(
    Claim,
    st.sampled_from(["claim-1", "claim-2"]),
    st.sampled_from(["*", "a/*", "a/1.x", "["]),
    st.sampled_from(["exclusive", "shared", "up-only", "down-only", "hands-off", "leave-as-is"]),
    st.sampled_from(["agent:one", "person:eva"]),
    times,
    times,
    st.sampled_from(["person", "operator", "agent"]),
)
events = st.one_of(
    acted,
    st.builds(Settled, times, calls, st.sampled_from(["happened", "not_happened", "unknown"])),
    st.builds(Seen, times, fields, values, st.integers(0, 9), actors),
    st.builds(
        Turned,
        times,
        calls,
        actors,
        st.just("t1"),
        st.sampled_from(["defer", "reject"]),
        st.sampled_from(["premise", "x"]),
        fields.map(lambda field: (field,)),
        st.integers(0, 6),
    ),
    st.builds(Claimed, times, claims, st.booleans()),
    st.builds(Published, times, calls, actors, st.just("f"), st.floats(0, 9), st.integers(0, 3)),
    st.builds(Measured, times, actors, st.just("goal"), st.floats(-9, 9)),
)
streams = st.lists(events, max_size=60)


@given(streams, acted)
@settings(max_examples=60, deadline=None)
def test_a_question_changes_no_answer(stream, question):
    asked, quiet = Panel({}, WORLD), Panel({}, WORLD)
    for event in stream:
        asked.would(question)
        assert asked.feed(event) == quiet.feed(event)


@given(streams, acted)
@settings(max_examples=100, deadline=None)
def test_what_would_alarm_alarms(stream, act):
    panel = Panel({}, WORLD)
    now_us = 0
    for event in stream:
        panel.feed(event)
        now_us = max(now_us, event.at_us)
    act = Acted(now_us, "new/1", *(getattr(act, name) for name in act.__struct_fields__[2:]))
    foretold = {alarm.detector for alarm in panel.would(act)}
    told = {alarm.detector for alarm in panel.feed(act)}
    # A decision of somebody else that loses its reason by this act is told when it happens, not before.
    assert foretold - told == set()
    assert told - foretold <= {"stale", "cascade"}


@given(streams)
@settings(max_examples=60, deadline=None)
def test_events_that_come_twice_are_once(stream):
    once, twice = Panel({}, WORLD), Panel({}, WORLD)
    for event in stream:
        assert once.feed(event) == twice.feed(event)
        assert not twice.feed(event)


@given(st.lists(st.tuples(st.sampled_from(["put", "use", "drop"]), st.integers(0, 9)), max_size=80))
def test_recent_forgets_the_one_that_was_used_longest_ago(orders):
    recent: Recent[int, list[int]] = Recent(4)
    model: dict[int, None] = {}
    for order, key in orders:
        model.pop(key, None)
        if order == "drop":
            recent.drop(key)
            continue
        model[key] = None
        if len(model) > 4:
            del model[next(iter(model))]
        if order == "put":
            recent.put(key, [key])
        else:
            recent.use(key, list)
    assert list(recent) == list(model)


def test_a_latch_opens_after_it_was_quiet():
    latch: Latch[str] = Latch(10.0)
    assert latch.begins("a", 0)
    assert not latch.begins("a", 9_000_000)
    assert not latch.begins("a", 19_000_000)
    assert latch.would_begin("a", 30_000_000)
    assert latch.begins("a", 30_000_000)


def flood(panel: Panel, start: int, count: int) -> None:
    """Let very much happen, every time to something else."""
    for n in range(start, start + count):
        at_us = n * 1000
        change = Change(f"k{n % 50}/{n}.x", "add", 1, 1, 2, n)
        cause = f"c/{n - 1}" if n % 3 else ""
        reads = (Read(f"k/{n}.r", 1),)
        panel.feed(
            Acted(at_us, f"c/{n}", f"actor-{n}", f"t{n}", (change,), reads, caused_by=cause, is_destructive=True)
        )
        panel.feed(Seen(at_us, f"s/{n}.x", n, n))
        panel.feed(Turned(at_us, f"d/{n}", f"actor-{n}", "t", "defer", "r", (f"f/{n}.x",), 1))
        panel.feed(Published(at_us, f"p/{n}", "g", f"file/{n}", 1.0))
        panel.feed(Measured(at_us, f"actor-{n}", "goal", 1.0))


def test_memory_is_bounded_however_much_happens():
    panel = Panel({}, WORLD)
    flood(panel, 0, KEYS_MAX + 200)
    sizes = [_sizes(panel) for _ in (0,)]
    flood(panel, KEYS_MAX + 200, 800)
    sizes.append(_sizes(panel))
    assert max(sizes[1].values()) <= 4 * KEYS_MAX, sizes[1]
    grown = {
        key: (sizes[0].get(key, 0), size) for key, size in sizes[1].items() if size > sizes[0].get(key, 0) * 1.2 + 64
    }
    # The intake remembers more events than were told so far.
    assert set(grown) <= {"intake"}, grown


def _sizes(panel: Panel) -> dict[str, int]:
    """Return how much each detector holds: the items of all its collections."""
    gc.collect()
    roots = {name: panel.detector(name) for name in (one.name for one in panel.standing())} | {"intake": panel._intake}
    return {name: _items(root, set(), 0) for name, root in roots.items()}


def _items(value: object, known: set[int], depth: int) -> int:
    if id(value) in known or depth > 4 or isinstance(value, Described):
        return 0
    known.add(id(value))
    if hasattr(value, "__dict__"):
        return max((_items(inner, known, depth + 1) for inner in vars(value).values()), default=0)
    try:
        return len(value)  # type: ignore[arg-type]  # asked of whatever it is
    except TypeError:
        return 0
