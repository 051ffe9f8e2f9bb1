"""Why something happened: the recorded ancestry, with its roots, and unknown where nobody knows."""

from __future__ import annotations

from comity.coordination.causal import CausalMap
from comity.coordination.causality.linked import Linked
from comity.coordination.causality.recorded import MapLimits
from comity.coordination.causality.why import Because
from comity.journal.world import Acted, Change, Claim, Claimed, Read, Seen, Settled, Turned
from unit.coordination.causality.plant_0217 import BEGIN, DB, SECOND, Plant, events


def act(at_us: int, call: str, *, reads: tuple[Read, ...] = (), writes: int = 0, **more: str) -> Acted:
    changes = (Change("k/r.n", "add", 1, version=writes),) if writes else ()
    return Acted(at_us, call, f"agent-{call[:1]}", "do", changes, reads, **more)  # type: ignore[arg-type]  # text fields


def fed(*told: Acted | Settled | Seen | Linked | Claimed | Turned) -> CausalMap:
    made = CausalMap()
    made.feed_all(told)
    return made


def names(tree: Because) -> dict[str, str]:
    """Each node below the root by its label, with how it caused the one above it."""
    found: dict[str, str] = {}
    for cause in tree.causes:
        found[cause.node.label] = cause.how
        found |= names(cause)
    return found


def test_who_wrote_what_was_read_made_it_happen() -> None:
    made = fed(act(1, "a/1", writes=17), act(2, "b/1", reads=(Read("k/r.n", 17),)))
    [tree] = made.why("b/1").trees
    assert names(tree) == {"a/1": "read_from", "a": "made", "b": "made"}
    edge = next(cause for cause in tree.causes if cause.node.label == "a/1")
    assert edge.evidence == ("k/r.n@17",)


def test_a_chain_of_reads_leads_to_its_roots() -> None:
    made = CausalMap(Plant())
    made.feed_all(events())
    why = made.why(f"{DB}@3")
    assert {node.id for node in why.roots} >= {"person:ann", "observation:obs-0", "observation:obs-1"}
    assert [(missing.name, missing.why) for missing in why.unknown] == [(f"{DB}@1", "never")]


def test_a_spawned_task_leads_to_who_spawned_it() -> None:
    made = fed(Linked(1, "person:ann", "p", "spawned"), act(2, "p/1"), Linked(3, "p/2", "c", "spawned"), act(4, "c/1"))
    why = made.why("c/1")
    assert names(why.trees[0]) == {"c": "made", "p/2": "spawned", "p": "made", "ann": "spawned"}
    assert [node.id for node in why.roots] == ["person:ann"]


def test_what_is_done_knowing_an_answer_was_caused_by_who_answered() -> None:
    made = fed(act(1, "p/1"), Linked(5, "person:ann", "p/2", "answered"), act(6, "p/3"))
    assert names(made.why("p/3").trees[0])["ann"] == "answered"
    assert "ann" not in names(made.why("p/1").trees[0])


def test_the_answer_of_a_child_closes_no_circle_with_the_call_that_spawned_it() -> None:
    made = fed(
        act(1, "p/1"),
        Linked(2, "p/1", "c", "spawned"),
        act(3, "c/1"),
        Linked(4, "c/1", "p/1", "answered"),
        act(5, "p/2"),
    )
    assert made.odd() == ()
    assert names(made.why("p/2").trees[0])["c/1"] == "answered"
    assert "c/1" not in names(made.why("p/1").trees[0])


def test_a_person_who_approved_a_call_is_its_cause() -> None:
    made = fed(
        Turned(4, "p/1", "agent-p", "do", "escalate", "limit"),
        Linked(5, "person:ann", "p/1", "answered"),
        act(6, "p/1"),
    )
    assert names(made.why("p/1").trees[0])["ann"] == "answered"
    assert made.odd() == ()


def test_a_claim_and_an_observation_are_causes_of_what_rests_on_them() -> None:
    made = fed(
        Claimed(1, Claim("c-1", "k/*", "exclusive", "operator:bo", 0, 99)),
        Seen(2, "k/r.n", 3, version=9, by="poll", id="o-1"),
        act(3, "a/1", observation="o-1", claim="c-1"),
    )
    found = names(made.why("a/1").trees[0])
    assert found == {"k/r.n v9": "saw", "c-1": "under", "bo": "made", "a": "made"}


def test_an_observation_of_what_an_act_wrote_was_caused_by_the_act() -> None:
    made = fed(act(1, "a/1", writes=4), Seen(2, "k/r.n", 3, version=4, id="o-1"), act(3, "b/1", observation="o-1"))
    assert names(made.why("b/1").trees[0])["a/1"] == "read_from"


def test_a_cause_that_nobody_recorded_is_unknown() -> None:
    why = fed(act(1, "a/1", caused_by="z/9", reads=(Read("k/r.n", 5),))).why("a/1")
    assert {(missing.name, missing.how, missing.why) for missing in why.unknown} == {
        ("z/9", "caused_by", "never"),
        ("k/r.n@5", "read_from", "never"),
    }
    assert {cause.node.kind for cause in why.trees[0].causes if cause.leaf == "unknown"} == {"unknown"}


def test_a_question_about_nothing_is_answered_with_unknown() -> None:
    for asked in ("nobody", "k/none.n@7", "x/9", ""):
        why = CausalMap().why(asked)
        assert [missing.why for missing in why.unknown] == ["never"]
        assert why.roots == ()


def test_a_resource_is_asked_for_as_a_whole() -> None:
    made = CausalMap(Plant())
    made.feed_all(events())
    why = made.why("db/main")
    assert [tree.node.label for tree in why.trees] == ["db/main.instances@5", "db/main.utilisation@4"]


def test_a_cause_later_than_its_effect_is_odd_and_no_cause() -> None:
    made = fed(act(9, "a/1", writes=17), act(2, "b/1", reads=(Read("k/r.n", 17),)))
    [odd] = made.odd()
    assert (odd.cause, odd.effect, odd.how, odd.why) == ("call:a/1", "call:b/1", "read_from", "backwards")
    assert "a/1" not in names(made.why("b/1").trees[0])


def test_a_circle_within_one_moment_is_odd_as_a_whole() -> None:
    made = fed(act(5, "a/1", caused_by="b/1"), act(5, "b/1", caused_by="a/1"), act(6, "c/1", caused_by="a/1"))
    assert {(odd.cause, odd.effect, odd.why) for odd in made.odd()} == {
        ("call:a/1", "call:b/1", "circle"),
        ("call:b/1", "call:a/1", "circle"),
    }
    assert names(made.why("c/1").trees[0]) == {"a/1": "caused_by", "a": "made", "c": "made"}


def test_a_version_that_two_wrote_is_told_and_counts_for_the_first_that_happened() -> None:
    made = fed(
        act(1, "a/1", writes=4),
        Settled(2, "a/1", "not_happened"),
        act(3, "b/1", writes=4),
        act(5, "c/1", reads=(Read("k/r.n", 4),)),
    )
    assert names(made.why("c/1").trees[0])["b/1"] == "read_from"
    assert [odd.why for odd in made.odd()] == ["two_writers"]


def test_what_has_left_is_said_to_have_left_and_the_last_writer_is_kept() -> None:
    made = CausalMap(limits=MapLimits(happenings_max=4))
    made.feed(act(1, "a/1", writes=4))
    made.feed_all(act(at, f"x/{at}") for at in range(2, 9))
    made.feed(act(10, "b/1", reads=(Read("k/r.n", 4),)))
    assert [missing.why for missing in made.why("b/1").unknown] == ["left"]
    [leaf] = made.why("k/r.n").trees[0].causes
    assert (leaf.node.label, leaf.node.actor, leaf.leaf) == ("a/1", "agent-a", "left")


def test_what_comes_too_late_for_the_window_is_counted_and_changes_nothing() -> None:
    made = CausalMap(limits=MapLimits(happenings_max=4))
    made.feed_all(act(at, f"x/{at}") for at in range(2, 12))
    assert made.feed(act(1, "a/1")) is False
    assert made.statistics().late == 1


def test_what_is_older_than_the_span_leaves() -> None:
    made = CausalMap(limits=MapLimits(span_s=60.0))
    made.feed(act(BEGIN, "a/1"))
    made.feed(act(BEGIN + 61 * SECOND, "b/1"))
    assert made.why("a/1").trees[0].node.kind == "unknown"
    assert made.statistics().left == 2


def test_an_ancestry_that_is_too_deep_is_cut_and_says_so() -> None:
    made = CausalMap()
    made.feed_all(act(number, f"a/{number}", caused_by=f"a/{number - 1}") for number in range(1, 60))
    why = made.why("a/59")
    assert why.is_cut
