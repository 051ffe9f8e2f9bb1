"""The scenarios' world files: each breaks by exactly its agents, and holds where it is coordinated; twins go free."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from comity.cli.scenarios import scenarios_folder, slugs, world_file
from comity.coordination.detectors.oscillation import Oscillation
from comity.coordination.detectors.surroundings import Described, Place
from comity.coordination.document import WorldDocument
from comity.coordination.loading import load_world
from comity.coordination.world import World
from comity.core.errors import UsageError
from comity.journal.world import Acted, Change
from comity.rehearsal import Options, Report, rehearse, stage_of
from comity.rehearsal.cycles import attained, starving
from comity.rehearsal.search import search

MINIMAL = {
    "0217": {"performance", "cost", "routing"},
    "bot-management": {"roll-out", "generator", "distributor"},
    "cold-cache": {"roll-out", "replacer"},
    "collections-complaint": {"collections", "complaints"},
    "customer-contact": {"sales", "support"},
    "deschedule": {"maintenance-east", "maintenance-west"},
    "drift-corrector": {"operator", "corrector", "autoscaler"},
    "dynamodb-dns": {"planner", "enactor-a", "enactor-b", "clean-up"},
    "failover-reset": {"mover", "guard"},
    "front-door": {"build-old", "build-new", "promoter"},
    "herd": {f"evictor-{number:02}" for number in range(1, 12)},
    "recovery-herd": {"node-1", "node-2", "node-3", "node-4"},
    "rollback-hotfix": {"release-guard", "fixer"},
    "scale-up-limit": {"capacity"},
    "self-withdrawal": {"site-a", "site-b", "site-c"},
    "two-drains": {"node-a", "node-b"},
    "two-primaries": {"orchestrator", "application-east", "application-west"},
}
REMEDIED = ("collections-complaint", "dynamodb-dns", "failover-reset", "rollback-hotfix")


def document(slug: str, variant: str = "world") -> WorldDocument:
    return load_world(world_file(slug, variant)).document


def enforced(found: WorldDocument) -> WorldDocument:
    """Return a world whose invariants are all enforced: what the first remedy says."""
    rules = {name: msgspec.structs.replace(rule, mode="enforce") for name, rule in found.invariants.items()}
    return msgspec.structs.replace(found, invariants=rules)


def explored(found: WorldDocument, *, coordinated: bool) -> Report:
    return rehearse(found, Options(coordinated=coordinated, has_fixes=False))


def test_there_are_seventeen_and_each_has_its_files() -> None:
    assert set(slugs()) == set(MINIMAL)
    for slug in slugs():
        assert {"world.yaml", "benign.yaml", "README.md"} <= {
            item.name for item in (scenarios_folder() / slug).iterdir()
        }


@pytest.mark.parametrize(
    "file", sorted(scenarios_folder().glob("*/*.yaml")), ids=lambda file: str(file.parent.name + "/" + file.stem)
)
def test_each_world_file_loads_and_compiles(file: Path) -> None:
    World(load_world(file).document)


@pytest.mark.parametrize("slug", sorted(MINIMAL))
def test_the_harm_needs_exactly_its_agents(slug: str) -> None:
    report = explored(document(slug), coordinated=False)
    assert report.outcome == "violated"
    assert set(report.minimal_agents or ()) == MINIMAL[slug]
    smaller = [item for item in report.subsets if len(item.agents) < len(MINIMAL[slug])]
    assert all(item.outcome == "safe" and item.is_exhaustive for item in smaller)


@pytest.mark.parametrize("slug", sorted(MINIMAL))
def test_the_harm_does_not_happen_where_calls_pass_admission(slug: str) -> None:
    report = explored(enforced(document(slug)), coordinated=True)
    assert report.outcome == "safe", report.verdict
    assert not report.bad_states
    assert not report.bound


@pytest.mark.parametrize("coordinated", [False, True], ids=["uncoordinated", "coordinated"])
@pytest.mark.parametrize("slug", sorted(MINIMAL))
def test_the_benign_twin_stays_unhindered(slug: str, coordinated: bool) -> None:
    """It is safe, nobody is refused in every run, and whoever has a goal reaches it in every end."""
    stage = stage_of(document(slug, "benign"), Options(coordinated=coordinated))
    seen = search(stage.team(list(stage.agents)), states_max=100_000)
    assert seen.is_exhaustive
    assert not seen.bad
    assert not list(starving(seen))
    reached = dict(attained(seen))
    assert reached
    assert set(reached.values()) == {1.0}


@pytest.mark.parametrize("slug", REMEDIED)
def test_the_remedy_holds_without_admission_of_invariants(slug: str) -> None:
    assert explored(document(slug, "remedy"), coordinated=False).outcome == "safe"


def test_a_cap_on_reversals_alone_leaves_the_loop() -> None:
    """So few reversals an hour are still a loop, and rehearsal says so: it takes the detector, or a claim."""
    found = document("rollback-hotfix")
    assert explored(msgspec.structs.replace(found, detectors={}), coordinated=True).outcome == "lasso"


@pytest.mark.parametrize("gap_s", [300, 1200])
def test_the_oscillation_detector_tells_of_reversals_and_not_of_one_roll_back(gap_s: int) -> None:
    """Rehearsal does not ask detectors, which judge by time; so theirs is asked here, with the field as declared."""

    def told(variant: str, *versions: int) -> list[int]:
        declared = document("rollback-hotfix", variant).kinds["release"].fields["version"]
        field = "release/shop.version"
        watch = Oscillation(Described({field: Place(settle_s=declared.settle_s)}))
        alarmed, before = [], 2
        for number, version in enumerate(versions):
            change = Change(field, "set", version, before, version, number + 2, declared.settle_s)
            act = Acted(number * gap_s * 1_000_000, f"t/{number}", ("guard", "fixer")[number % 2], "tool", (change,))
            alarmed += [number + 1 for _ in watch.feed(act)]
            before = version
        return alarmed

    assert told("world", 1, 2, 1, 2, 1) in ([4], [5])
    assert told("benign", 1, 3) == []


def test_every_single_agent_and_every_pair_of_0217_is_safe() -> None:
    report = explored(document("0217"), coordinated=False)
    by_size = {size: [item for item in report.subsets if len(item.agents) == size] for size in (1, 2, 3)}
    assert [len(by_size[size]) for size in (1, 2)] == [3, 3]
    assert all(item.outcome == "safe" and item.is_exhaustive for item in (*by_size[1], *by_size[2]))
    assert report.counterexample is not None


def test_a_scenario_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="no scenario `0218`") as caught:
        world_file("0218")
    assert "0217" in caught.value.hint
    with pytest.raises(UsageError, match="has no `live") as caught:
        world_file("herd", "live")
    assert "benign" in caught.value.hint
