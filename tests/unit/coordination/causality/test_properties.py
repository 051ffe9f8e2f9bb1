"""What holds of the map whatever it is fed, in whatever order, however often."""

from __future__ import annotations

import msgspec
import networkx as nx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comity.coordination.causal import CausalMap
from comity.coordination.causality.correlation import GuessLimits
from comity.coordination.causality.linked import Linked
from comity.coordination.causality.loops import find_loops
from comity.coordination.causality.recorded import MapLimits
from comity.coordination.causality.window import MapWindow
from comity.journal.world import Acted, Change, Claim, Claimed, Read, Seen, Settled, Turned, WorldEvent

MOMENTS = st.integers(1, 12)
TASKS = st.sampled_from(["t1", "t2", "t3"])
CALLS = st.builds(lambda task, number: f"{task}/{number}", TASKS, st.integers(1, 4))
FIELDS = st.sampled_from(["a/x.n", "b/y.n", "c/z.n"])
AGENTS = {"t1": "one", "t2": "two", "t3": "three"}
NAMES = st.one_of(st.just(""), CALLS, st.sampled_from(["o1", "o2", "never/9", "nobody"]))
VERSIONS = st.integers(0, 5)
CHANGES = st.lists(st.builds(Change, FIELDS, st.just("set"), st.integers(0, 9), version=VERSIONS), max_size=2)
READS = st.lists(st.builds(Read, FIELDS, VERSIONS), max_size=3)

ACTED = st.builds(
    Acted,
    at_us=MOMENTS,
    call=CALLS,
    actor=st.just(""),
    tool=st.just("act"),
    changes=CHANGES.map(tuple),
    reads=READS.map(tuple),
    caused_by=NAMES,
    observation=st.sampled_from(["", "o1", "o2", "o9"]),
    claim=st.sampled_from(["", "c1"]),
).map(lambda it: msgspec.structs.replace(it, actor=AGENTS[it.call[:2]]))
SEEN = st.builds(
    Seen, at_us=MOMENTS, field=FIELDS, value=st.integers(0, 9), version=VERSIONS, id=st.sampled_from(["o1", "o2"])
)
OTHERS = st.one_of(
    st.builds(Settled, at_us=MOMENTS, call=CALLS, end=st.sampled_from(["happened", "not_happened", "unknown"])),
    st.builds(
        Turned,
        at_us=MOMENTS,
        call=CALLS,
        actor=st.just(""),
        tool=st.just("act"),
        verdict=st.sampled_from(["defer", "escalate"]),
        rule=st.just("r"),
    ).map(lambda it: msgspec.structs.replace(it, actor=AGENTS[it.call[:2]])),
    st.builds(
        Linked,
        at_us=MOMENTS,
        cause=st.one_of(CALLS, TASKS, st.just("person:ann")),
        effect=st.one_of(CALLS, TASKS, st.just("observation:o1")),
        how=st.sampled_from(["spawned", "answered", "caused_by"]),
    ),
)
CLAIMS = st.builds(
    Claimed,
    at_us=MOMENTS,
    claim=st.just(Claim("c1", "a/x.*", "shared", "agent:one", 0, 99, task="t1")),
    is_over=st.booleans(),
)
HISTORIES = st.tuples(
    st.lists(ACTED, max_size=10, unique_by=lambda it: it.call),
    st.lists(SEEN, max_size=2, unique_by=lambda it: it.id),
    st.lists(st.one_of(OTHERS, CLAIMS), max_size=12),
).map(lambda parts: [*parts[0], *parts[1], *parts[2]])
PROPERTY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fed(events: list[WorldEvent | Linked], limits: MapLimits | None = None) -> CausalMap:
    made = CausalMap(limits=limits)
    made.feed_all(events)
    return made


def calls_of(made: CausalMap) -> MapWindow:
    return made.window(0, 1_000_000, detail="calls")


@PROPERTY
@given(HISTORIES)
def test_recorded_edges_between_events_never_close_a_circle(events: list[WorldEvent | Linked]) -> None:
    window = calls_of(fed(events))
    graph = nx.DiGraph([(edge.cause, edge.effect) for edge in window.edges])
    assert nx.is_directed_acyclic_graph(graph)


@PROPERTY
@given(HISTORIES)
def test_no_recorded_edge_points_back_in_time_and_each_has_its_evidence(events: list[WorldEvent | Linked]) -> None:
    window = calls_of(fed(events))
    nodes = {node.id: node for node in window.nodes}
    for edge in window.edges:
        assert edge.evidence
        assert edge.count >= 1
        assert nodes[edge.cause].at_us <= nodes[edge.effect].at_us
        if edge.how == "read_from" and nodes[edge.effect].kind == "call":
            assert _read_or_saw(events, nodes[edge.effect].label, edge.evidence)


def _read_or_saw(events: list[WorldEvent | Linked], call: str, evidence: tuple[str, ...]) -> bool:
    act = next(event for event in events if isinstance(event, Acted) and event.call == call)
    known = {f"{read.field}@{read.version}" for read in act.reads} | {act.observation}
    return set(evidence) <= known


@PROPERTY
@given(HISTORIES, st.randoms(use_true_random=False))
def test_the_order_of_events_changes_nothing(events: list[WorldEvent | Linked], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own
    one, two = fed(events), fed(shuffled)
    assert calls_of(one) == calls_of(two)
    assert set(one.window(0, 99).edges) == set(two.window(0, 99).edges)
    assert one.interactions() == two.interactions()
    assert one.odd() == two.odd()
    assert find_loops(one.recorded) == find_loops(two.recorded)


@PROPERTY
@given(HISTORIES)
def test_an_event_told_twice_counts_once(events: list[WorldEvent | Linked]) -> None:
    one, two = fed(events), fed([*events, *events])
    assert calls_of(one) == calls_of(two)
    assert one.interactions() == two.interactions()
    assert two.statistics().repeated >= one.statistics().repeated


@PROPERTY
@given(HISTORIES, st.integers(0, 30))
def test_feeding_in_pieces_is_feeding_at_once(events: list[WorldEvent | Linked], cut: int) -> None:
    pieces = fed(events[:cut])
    calls_of(pieces)
    pieces.interactions()
    pieces.feed_all(events[cut:])
    at_once = fed(events)
    assert calls_of(pieces) == calls_of(at_once)
    assert pieces.window(0, 99) == at_once.window(0, 99)
    assert pieces.guesses() == at_once.guesses()
    assert pieces.statistics() == at_once.statistics()


@PROPERTY
@given(st.lists(st.one_of(ACTED, SEEN, OTHERS), max_size=60), st.integers(4, 12))
def test_what_is_held_is_bounded_and_still_has_no_circle(events: list[WorldEvent | Linked], most: int) -> None:
    made = CausalMap(limits=MapLimits(happenings_max=most, fields_max=2, pairs_max=3))
    for event in events:
        made.feed(event)
        held = made.recorded
        assert len(held.happenings) <= most
        assert len(held.fields) <= 2
        assert len(held.pairs) <= 3
        indexed = {key for index in (held.writers, held.readers, held.answers) for ids in index.values() for key in ids}
        assert indexed <= set(held.happenings)
    window = calls_of(made)
    assert nx.is_directed_acyclic_graph(nx.DiGraph([(edge.cause, edge.effect) for edge in window.edges]))


def test_a_long_life_leaves_no_more_than_the_limits_allow() -> None:
    made = CausalMap(limits=MapLimits(happenings_max=200, fields_max=20), guess_limits=GuessLimits(fields_max=8))
    for number in range(3_000):
        field = f"kind/{number % 300}.n"
        change = Change(field, "set", number, after=number, version=number + 1)
        made.feed(Acted(number * 1_000, f"t{number % 50}/{number}", "one", "act", (change,), (Read(field, number),)))
    assert len(made.recorded.happenings) <= 200
    assert len(made.recorded.fields) <= 20
    assert len(made.recorded.writers) <= 200
    assert len(made._correlation._series) <= 8
    assert made.statistics().taken == 3_000
    assert made.statistics().left > 2_000
