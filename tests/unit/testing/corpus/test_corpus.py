"""The corpus: repeatable, labelled as promised, blind to the detectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.core.expression import parse
from comity.journal.world import Acted, Claimed, Measured, Published, Seen, Settled, Turned
from comity.testing.corpus import FAMILIES, REPORTED, TUNING, trace, traces

HERE = Path(__file__).resolve().parent
SEEDS = TUNING[:3]
STORIES = [
    (family.name, variant, variant in family.harm)
    for family in FAMILIES.values()
    for variant in (*family.harm, *family.benign)
]


@pytest.mark.parametrize(("family", "variant", "is_harm"), STORIES)
def test_a_story_is_labelled_as_it_promises(family, variant, is_harm):
    for seed in SEEDS:
        seen = trace(family, variant, seed)
        assert (seen.family, seen.variant, seen.seed, seen.is_harm) == (family, variant, seed, is_harm)
        if not is_harm:
            assert (seen.culprits, seen.first_index, seen.harm_index) == ((), -1, -1)
            continue
        assert 0 <= seen.first_index <= seen.harm_index < len(seen.events)
        named = {getattr(event, "actor", "") for event in seen.events[: seen.harm_index + 1]}
        assert set(seen.culprits) & named
        assert not [culprit for culprit in seen.culprits if culprit.startswith("other-")]


@pytest.mark.parametrize(("family", "variant", "is_harm"), STORIES)
def test_the_same_seed_gives_the_same_trace_and_another_another(family, variant, is_harm):
    assert trace(family, variant, 5) == trace(family, variant, 5)
    assert trace(family, variant, 5).events != trace(family, variant, 6).events


def test_every_family_has_harm_and_benign_twins_of_its_own():
    assert len(FAMILIES) == 13
    for family in FAMILIES.values():
        assert family.harm
        assert family.benign
        assert not set(family.harm) & set(family.benign)


def test_seeds_for_tuning_and_for_reporting_are_apart():
    assert not set(TUNING) & set(REPORTED)
    assert len(REPORTED) >= 20


def test_changes_fit_together_in_the_order_in_which_they_happened():
    for family in FAMILIES:
        for seen in traces(family, SEEDS[:1]):
            versions: dict[str, dict[int, object]] = {}
            for event in seen.events:
                for change in event.changes if isinstance(event, Acted) else ():
                    assert change.field in seen.setting.fields
                    assert versions.setdefault(change.field, {}).setdefault(change.version, change) == change
            for made in versions.values():
                for version, change in made.items():
                    if version + 1 in made:
                        assert made[version + 1].before == change.after


def test_time_goes_on_but_for_what_is_told_late():
    late = total = 0
    for family in FAMILIES:
        for seen in traces(family, SEEDS[:1]):
            pairs = list(zip(seen.events, seen.events[1:], strict=False))
            late += sum(one.at_us > other.at_us for one, other in pairs)
            total += len(pairs)
    assert 0 < late < total * 0.05


def test_something_is_told_twice_and_something_never():
    seen = [one for family in FAMILIES for one in traces(family, SEEDS[:1])]
    acts = [event.call for one in seen for event in one.events if isinstance(event, Acted)]
    outcomes = {event.call for one in seen for event in one.events if isinstance(event, Settled)}
    assert len(set(acts)) < len(acts)
    assert set(acts) - outcomes


def test_every_kind_of_event_is_there_with_agents_that_are_not_involved():
    seen = [one for family in FAMILIES for one in traces(family, SEEDS[:1])]
    kinds = {type(event) for one in seen for event in one.events}
    assert kinds == {Acted, Settled, Seen, Turned, Claimed, Published, Measured}
    for one in seen:
        others = {getattr(event, "actor", "").partition("-sub")[0] for event in one.events}
        assert len([name for name in others if name.startswith("other-")]) >= 4


def test_invariants_and_premises_of_a_setting_can_be_read():
    for family in FAMILIES:
        for seen in traces(family, SEEDS[:1]):
            for rule in seen.setting.rules:
                assert set(rule.let.values()) <= set(seen.setting.fields)
                parse(rule.holds, rule.let)
            for (_, field), text in seen.setting.premises.items():
                assert field in seen.setting.fields
                parse(text, ["value"])


@pytest.mark.parametrize(
    ("family", "variant", "hint"), [("weather", "rain", "herding"), ("herding", "rain", "all sell")]
)
def test_what_is_not_there_is_an_error_that_names_what_is(family, variant, hint):
    with pytest.raises(UsageError) as caught:
        trace(family, variant, 1)
    assert hint in caught.value.hint
