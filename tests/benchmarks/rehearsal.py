"""The explorer of rehearsals beside SPIN on the same model, and how long 02:17 takes.

The model is the dining philosophers as a world file, exported to Promela; both explore it without reductions and count
the same states. SPIN's translation and compilation are told apart: ours has none.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from comity.coordination.document import WorldDocument
from comity.coordination.loading import load_world
from comity.rehearsal import Options, rehearse, stage_of
from comity.rehearsal.promela import promela
from comity.rehearsal.search import search

FULL, QUICK = (4, 15), (4, 6)
STATES_MAX = 5_000_000
WORLD = Path(__file__).resolve().parents[2] / "scenarios" / "0217" / "world.yaml"


@dataclass(frozen=True)
class RehearsalFigures:
    """What a run showed; times in seconds of the processor.

    Attributes:
        states: Of the model.
        ours_s: What our search took.
        spin_s: What SPIN's took, None where it is absent.
        spin_states: How many states it stored.
        compiled_s: What translating and compiling took before.
        scenario_ms: 02:17 with its subsets and the shortest counterexample.
        fixed_ms: The same with every fix explored again.
    """

    states: int
    ours_s: float
    spin_s: float | None
    spin_states: int
    compiled_s: float
    scenario_ms: float
    fixed_ms: float

    def lines(self) -> Iterator[str]:
        """Return the figures as text."""
        yield f"rehearsal: {self.states:,} states in {self.ours_s:.2f} s, {self.states / self.ours_s:,.0f} states/s"
        if self.spin_s is None:
            yield "  SPIN: left out: `apt-get install spin gcc`"
        else:
            told = f"{self.spin_states:,} states in {self.spin_s:.2f} s, compiled in {self.compiled_s:.1f} s"
            yield f"  SPIN: {told}; ours took {self.ours_s / self.spin_s:.1f} × its time"
        yield f"  0217 with subsets and counterexample: {self.scenario_ms:.0f} ms; with fixes {self.fixed_ms:.0f} ms"


def observe(*, is_quick: bool) -> RehearsalFigures:
    """Explore, and let SPIN explore the same."""
    philosophers, acts = QUICK if is_quick else FULL
    stage = stage_of(world(philosophers, acts))
    team = stage.team(list(stage.agents), is_reduced=False)
    began = time.process_time()
    found = search(team, states_max=STATES_MAX, is_first_enough=False)
    ours_s = time.process_time() - began
    spin_s, spin_states, compiled_s = _spin(promela(stage, list(stage.agents)))
    document = load_world(WORLD).document
    scenario_ms = _ms(document, has_fixes=False)
    return RehearsalFigures(
        len(found.parents), ours_s, spin_s, spin_states, compiled_s, scenario_ms, _ms(document, has_fixes=True)
    )


def world(philosophers: int, acts: int) -> WorldDocument:
    """Return philosophers who look for a fork, and take it a thought later if it is still there."""
    ids = range(philosophers)
    agents: dict[str, Any] = {}
    for number in ids:
        left, right = str(number), str((number + 1) % philosophers)
        rules = [
            {"do": "take", "when": "h == 0 and left == 0", "given": {"me": f"'{number}'", "fork": f"'{left}'"}},
            {"do": "take", "when": "h == 1 and right == 0", "given": {"me": f"'{number}'", "fork": f"'{right}'"}},
            {"do": "put", "when": "h == 2", "given": {"me": f"'{number}'", "a": f"'{left}'", "b": f"'{right}'"}},
        ]
        reads = {"h": f"philosopher/{number}.holds", "left": f"fork/{left}.taken", "right": f"fork/{right}.taken"}
        agents[f"p{number}"] = {"reads": reads, "rules": rules, "acts_max": acts}
    plain = {
        "kinds": {
            "fork": {"id": "fork/{n}", "fields": {"taken": {"type": "integer", "initial": 0}}},
            "philosopher": {"id": "philosopher/{n}", "fields": {"holds": {"type": "integer", "initial": 0}}},
        },
        "resources": {f"{kind}/{number}": {} for kind in ("fork", "philosopher") for number in ids},
        "tools": {
            "take": {
                "touches": [
                    {"field": "fork/{fork}.taken", "value": "1"},
                    {"field": "philosopher/{me}.holds", "op": "add", "value": "1"},
                ],
                "premises": [{"field": "fork/{fork}.taken", "holds": "value == 0"}],
            },
            "put": {
                "touches": [
                    {"field": "fork/{a}.taken", "value": "0"},
                    {"field": "fork/{b}.taken", "value": "0"},
                    {"field": "philosopher/{me}.holds", "value": "0"},
                ]
            },
        },
        "rehearsal": {"agents": agents},
    }
    return msgspec.convert(plain, WorldDocument)


def _ms(document: WorldDocument, *, has_fixes: bool) -> float:
    began = time.process_time()
    report = rehearse(document, Options(has_fixes=has_fixes))
    assert report.minimal_agents is not None, "0217 breaks"
    return (time.process_time() - began) * 1e3


def _spin(model: str) -> tuple[float | None, int, float]:
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        return None, 0, 0.0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "model.pml").write_text(model, encoding="utf-8")
        compiled_s = _children_s(folder, ["spin", "-a", "model.pml"])[0]
        compiled_s += _children_s(folder, ["gcc", "-O2", "-DSAFETY", "-DNOREDUCE", "-w", "-o", "pan", "pan.c"])[0]
        took_s, said = _children_s(folder, ["./pan", "-c0", "-m1000000", "-n", "-w24"])
    stored = re.search(r"(\d+) states, stored", said)
    assert stored is not None, said
    return max(took_s, 1e-3), int(stored[1]), compiled_s


def _children_s(folder: Path, command: list[str]) -> tuple[float, str]:
    """Run a command; return the processor's seconds that it took, and what it said."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said
