"""SPIN counts the states that we count: on models that we export, and on three that are written by hand."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from comity.coordination.document import WorldDocument
from comity.rehearsal import Options, stage_of
from comity.rehearsal.process import Act, Judged
from comity.rehearsal.promela import promela
from comity.rehearsal.search import search
from comity.rehearsal.space import Shared, Space
from unit.rehearsal.worlds import numbers, random_worlds, scenario

HERE = Path(__file__).parent / "spin"
PLAIN = Options()
MISSING = [name for name in ("spin", "gcc") if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"{' and '.join(MISSING)} is not installed: `apt-get install spin gcc`"
)


class InvariantsAfter:
    """Admission as an exported model has it: nothing is ever in flight there, so what an act leaves behind decides."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._checks = [check for check in space.model.checks if check.is_enforced]

    def judge(self, state: Shared, act: Act, agent: str) -> Judged:
        after = self._space.after(state, act.writes)
        broken = next((check.key for check in self._checks if not check.holds(after.values, after.marks)), "")
        return Judged("refuse", broken) if broken else Judged("admit")


def spin_states(model: str, folder: Path) -> int:
    """Return how many states SPIN stores of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pml").write_text(model, encoding="utf-8")
    for command in (["spin", "-a", "model.pml"], ["gcc", "-O1", "-DSAFETY", "-DNOREDUCE", "-w", "-o", "pan", "pan.c"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    said = subprocess.run(["./pan", "-c0", "-m100000", "-n"], cwd=folder, capture_output=True, text=True, check=False)
    found = re.search(r"(\d+) states, stored", said.stdout)
    assert found is not None, said.stdout + said.stderr
    return int(found[1])


def our_states(document: WorldDocument, options: Options = PLAIN) -> int:
    stage = stage_of(document, options)
    found = search(stage.team(list(stage.agents), is_reduced=False), states_max=1_000_000, is_first_enough=False)
    assert found.is_exhaustive
    return len(found.parents)


def exported(document: WorldDocument, options: Options = PLAIN) -> str:
    stage = stage_of(document, options)
    return promela(stage, list(stage.agents))


@pytest.mark.parametrize("name", ["lost_update", "philosophers", "plans"])
def test_a_model_written_by_hand_has_as_many_states_as_the_world_beside_it(name: str, tmp_path: Path) -> None:
    document = msgspec.convert(yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8")), WorldDocument)
    by_hand = spin_states((HERE / f"{name}.pml").read_text(encoding="utf-8"), tmp_path / "hand")
    ours = our_states(document)
    assert by_hand == ours
    assert spin_states(exported(document), tmp_path / "export") == ours


@pytest.mark.parametrize("name", ["0217", "two-drains"])
@pytest.mark.parametrize("is_coordinated", [False, True])
def test_a_scenario_has_as_many_states_in_spin(name: str, *, is_coordinated: bool, tmp_path: Path) -> None:
    document = scenario(name)
    enforced = {key: msgspec.structs.replace(item, mode="enforce") for key, item in document.invariants.items()}
    document = msgspec.structs.replace(document, invariants=enforced)
    options = Options(coordinated=is_coordinated, admitter=InvariantsAfter)
    assert spin_states(exported(document, options), tmp_path) == our_states(document, options)


def test_premises_dependencies_windows_and_generations_mean_the_same(tmp_path: Path) -> None:
    tools = {
        "newer": {
            "touches": [{"field": "n/{on}.v", "op": "set", "value": "to"}],
            "premises": [{"field": "n/d.v", "holds": "value <= to + 1"}],
        }
    }
    step = {"do": "move", "when": "a - b < 2 or not (c in (1, 2))", "given": {"on": "'a'", "by": "max(1, min(2, c))"}}
    back = {"do": "move", "when": "a // 2 + b % 3 > 0", "given": {"on": "'b'", "by": "-1 if a > 1 else 1"}}
    reads = {name: f"n/{name}.v" for name in "abcd"}
    agents = {
        "one": {"reads": reads, "rules": [step, {"do": "newer", "when": "c < 2", "given": {"on": "'c'", "to": "a"}}]},
        "two": {"reads": reads, "rules": [back]},
        "three": {"reads": reads, "rules": [{"do": "newer", "given": {"on": "'c'", "to": "b + 1"}}]},
    }
    document = numbers(
        agents,
        holds="a <= 3",
        tools=tools,
        dependencies=[{"from": "n/a.v", "to": "n/d.v", "gain": 2}],
        rehearsal={"environment": {"tide": {"reads": {"c": "n/c.v"}, "set": {"n/c.v": "c + 1"}, "times": 2}}},
    )
    limit = {"let": {"k": {"count": "n/b.v", "within": "1h"}}, "holds": "k <= 3", "mode": "enforce"}
    plain = msgspec.to_builtins(document)
    plain["invariants"]["often"] = limit
    world = msgspec.convert(plain, WorldDocument)
    for options in (Options(), Options(coordinated=True, admitter=InvariantsAfter)):
        assert spin_states(exported(world, options), tmp_path) == our_states(world, options)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random_worlds().filter(lambda document: not document.rehearsal.faults))  # type: ignore[union-attr]
def test_random_worlds_have_as_many_states_in_spin(tmp_path: Path, document: WorldDocument) -> None:
    assert spin_states(exported(document), tmp_path) == our_states(document)
