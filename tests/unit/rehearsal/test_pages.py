"""Pictures and pages of what a rehearsal found."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from comity.rehearsal import Report, rehearse
from comity.rehearsal.diagram import diagram
from comity.rehearsal.html import page
from comity.rehearsal.markdown import markdown, together
from unit.rehearsal.worlds import numbers, scenario


@pytest.fixture(scope="module")
def broken() -> Report:
    return rehearse(scenario("0217"))


def _words(svg: str) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext())


def test_the_diagram_has_a_lane_for_each_agent_and_says_what_broke(broken: Report) -> None:
    assert broken.counterexample is not None
    words = _words(diagram(broken.counterexample))
    for name in ("performance", "cost", "routing", "world"):
        assert name in words
    assert "a * r <= d * 5 is false, with a = 4, r = 3, d = 2" in words


def test_what_a_world_is_called_is_text_in_a_page(broken: Report) -> None:
    import msgspec

    odd = msgspec.structs.replace(broken, world="<script>alert(1)</script>")
    assert "<script>" not in page(odd)
    assert "&lt;script&gt;" in page(odd)


def test_a_loop_is_framed() -> None:
    rule = {"do": "put", "when": "x == 0", "given": {"on": "'a'", "to": "1"}}
    back = {"do": "put", "when": "x == 1", "given": {"on": "'a'", "to": "0"}}
    reads = {"x": "n/a.v"}
    report = rehearse(numbers({"up": {"reads": reads, "rules": [rule]}, "down": {"reads": reads, "rules": [back]}}))
    assert report.counterexample is not None
    assert "and again" in _words(diagram(report.counterexample))
    assert any(fix.kind == "dwell" and fix.is_safe for fix in report.fixes)


def test_the_summary_shows_the_patch_of_the_first_fix(broken: Report) -> None:
    text = markdown(broken, "world.yaml")
    assert "```yaml\ninvariants:\n  connections:\n    mode: enforce\n" in text
    assert "`comity rehearse world.yaml --apply 1`" in text


def test_many_agents_are_named_in_short() -> None:
    names = tuple(f"agent{number}" for number in range(30))
    assert together(names) == "`agent0` … `agent29` (30 agents) together"
    assert together(names[:1]) == "`agent0` alone"
