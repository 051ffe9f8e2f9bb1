"""Small worlds to rehearse, and random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml
from hypothesis import strategies as st

from comity.coordination.document import WorldDocument

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = ROOT / "scenarios"


def world(plain: dict[str, Any]) -> WorldDocument:
    return msgspec.convert(plain, WorldDocument)


def read(text: str) -> WorldDocument:
    return world(yaml.safe_load(text))


def scenario(name: str) -> WorldDocument:
    return read((SCENARIOS / name / "world.yaml").read_text(encoding="utf-8"))


def numbers(agents: dict[str, Any], *, holds: str = "True", low: int = -3, high: int = 6, **more: Any) -> WorldDocument:
    """A world of four numbers `n/a.v` to `n/d.v`, with tools that set and move one."""
    names = "abcd"
    invariants = {"rule": {"let": {name: f"n/{name}.v" for name in names}, "holds": holds}} if holds != "True" else {}
    return world(
        {
            "kinds": {
                "n": {"id": "n/{name}", "fields": {"v": {"type": "integer", "low": low, "high": high, "initial": 0}}}
            },
            "resources": {f"n/{name}": {} for name in names},
            "invariants": invariants,
            "tools": {
                "put": {"touches": [{"field": "n/{on}.v", "op": "set", "value": "to"}]},
                "move": {"touches": [{"field": "n/{on}.v", "op": "add", "value": "by"}]},
            }
            | more.pop("tools", {}),
            "rehearsal": {"agents": agents} | more.pop("rehearsal", {}),
        }
        | more
    )


READS = {name: f"n/{name}.v" for name in "abcd"}


@st.composite
def rules(draw: st.DrawFn, writes: str, reads: str) -> dict[str, Any]:
    left = draw(st.sampled_from(reads))
    when = f"{left} {draw(st.sampled_from(['<', '<=', '==', '>']))} {draw(st.integers(0, 2))}"
    if draw(st.booleans()):
        when += f" and {draw(st.sampled_from(reads))} < {draw(st.integers(1, 3))}"
    on = draw(st.sampled_from(writes))
    if draw(st.booleans()):
        return {"do": "put", "when": when, "given": {"on": f"'{on}'", "to": f"{draw(st.sampled_from(reads))} + 1"}}
    return {"do": "move", "when": when, "given": {"on": f"'{on}'", "by": str(draw(st.sampled_from([1, -1, 2])))}}


@st.composite
def random_worlds(draw: st.DrawFn) -> WorldDocument:
    agents: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 3))):
        reads = "".join(sorted(draw(st.sets(st.sampled_from("abcd"), min_size=1, max_size=2))))
        writes = "".join(sorted(draw(st.sets(st.sampled_from("abcd"), min_size=1, max_size=2))))
        agents[f"agent{number}"] = {
            "reads": {name: READS[name] for name in reads},
            "rules": draw(st.lists(rules(writes, reads), min_size=1, max_size=2)),
            "acts_max": draw(st.integers(1, 2)),
        }
    if draw(st.booleans()):
        agents["twin"] = agents["agent0"]
    rehearsal: dict[str, Any] = {}
    if draw(st.booleans()):
        field = draw(st.sampled_from("abcd"))
        rehearsal["environment"] = {"tide": {"reads": {"x": READS[field]}, "set": {READS[field]: "x + 1"}}}
    if draw(st.integers(0, 3)) == 0:
        rehearsal["faults"] = [draw(st.sampled_from(["crash", "stale", "delay", "duplicate", "lose", "reorder"]))]
    left, right = draw(st.sampled_from("abcd")), draw(st.sampled_from("abcd"))
    holds = draw(
        st.sampled_from([f"{left} <= 2", f"{left} + {right} <= 3", f"{left} >= {right} - 2", "a + b + c + d <= 5"])
    )
    return numbers(agents, holds=holds, low=-9, high=9, rehearsal=rehearsal)
