"""A diagram in each format: well formed whatever its labels are, the same bytes each time, no label on another."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import pytest
import resvg_py
from hypothesis import given, settings
from hypothesis import strategies as st

from comity.coordination.causal import CausalMap
from comity.coordination.causality.loops import find_loops
from comity.coordination.drawing import png
from comity.coordination.drawing.diagram import Arrow, Box, Diagram, columns_of, plain, shortened
from comity.coordination.drawing.fonts import families, family_of
from comity.coordination.drawing.layout import laid_out
from comity.coordination.drawing.render import render
from comity.coordination.drawing.showing import touch_diagram, why_diagram, window_diagram
from comity.core.errors import UsageError
from unit.coordination.causality.plant_0217 import BEGIN, SECOND, Plant, events
from unit.coordination.drawing.dot_checker import Dot

SVG = "{http://www.w3.org/2000/svg}"
EVIL = (
    "</text><script>alert(1)</script>",
    '"]; evil -> node [label="',
    "\\N \\G \\l \\",
    "&amp; <b> ' \" ]]>",
    "line\nbreak\ttab\r",
    "\x1b[31mred\x07 \x00 null",
    "right\u202eto left\u2066",
    "half \ud800 a character",
    "宽字符 👩‍👩‍👧 é e\u0301",
    "x" * 500,
    "",
)  # fmt: skip


def night() -> Diagram:
    made = CausalMap(Plant())
    made.feed_all(events())
    window = made.window(BEGIN, BEGIN + 600 * SECOND)
    return window_diagram(window, find_loops(made.recorded, made.declared), title="02:17: who acts on what")


def fleet(agents: int, fields: int) -> Diagram:
    boxes = [Box(f"a{number}", "agent", f"agent-{number:02}", rank=0) for number in range(agents)]
    boxes += [Box(f"f{number}", "field", f"svc/{number:02}.instances", rank=1) for number in range(fields)]
    boxes.append(Box("i", "invariant", "limit", "block", rank=2))
    arrows = []
    for number in range(agents):
        arrows.append(Arrow(f"a{number}", f"f{number * 3 % fields}", "wrote", f"writes ×{number}", number))
        arrows.append(Arrow(f"f{(number * 7 + 3) % fields}", f"a{number}", "read", f"reads ×{number}", number))
    arrows += [Arrow(f"f{number}", "i", "bounds") for number in range(fields)]
    arrows.append(Arrow("f1", "f3", "guess", "guess r=0.93", is_guess=True))
    arrows.append(Arrow("a1", "i", "declared", "past a column"))
    return Diagram("A fleet", "", tuple(boxes), tuple(arrows))


@pytest.mark.parametrize("form", ["text", "json", "dot", "svg", "png"])
def test_the_same_diagram_gives_the_same_bytes(form: str) -> None:
    assert render(night(), form) == render(night(), form)


def test_the_bytes_do_not_depend_on_the_process() -> None:
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from unit.coordination.drawing.test_render import night, render\n"
        "sys.stdout.buffer.write(render(night(), 'svg') + render(night(), 'text') + render(night(), 'dot'))"
    )
    root = Path(__file__).parents[4]
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=root, env={"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_an_unknown_format_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="`gif`") as caught:
        render(night(), "gif")
    assert "`svg`" in caught.value.hint


@pytest.mark.parametrize("label", EVIL)
def test_labels_of_users_show_nothing_but_themselves(label: str) -> None:
    boxes = (Box(f"one{label}", "agent", label, label), Box("two", "unknown", label))
    arrow = Arrow(f"one{label}", "two", "guess", label, is_guess=True, loops=(1,))
    diagram = Diagram(label or "-", label, boxes, (arrow,), (label,))
    root = ET.fromstring(render(diagram, "svg").decode())
    assert {part.tag for part in root.iter()} <= {
        SVG + name for name in ("svg", "title", "desc", "style", "rect", "text", "g", "path")
    }
    dot = Dot(render(diagram, "dot").decode())
    assert set(dot.nodes) == {"n0", "n1"}
    assert [edge[:2] for edge in dot.edges] == [("n0", "n1")]
    text = render(diagram, "text").decode()
    assert not [char for char in text if char != "\n" and plain(char) != char]
    told = json.loads(render(diagram, "json"))
    assert told["boxes"][0]["label"] == label.encode(errors="replace").decode()
    assert render(diagram, "png").startswith(b"\x89PNG")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_xml_and_dot_that_parse(label: str) -> None:
    diagram = Diagram(
        label, label, (Box("a", "call", label), Box("b", "call", label, label)), (Arrow("a", "b", "made"),)
    )
    ET.fromstring(render(diagram, "svg").decode())
    assert len(Dot(render(diagram, "dot").decode()).nodes) == 2
    assert json.loads(render(diagram, "json"))["title"] == label.encode(errors="replace").decode()


def test_the_svg_says_in_words_what_it_shows() -> None:
    root = ET.fromstring(render(night(), "svg").decode())
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert title is not None
    assert desc is not None
    assert title.text == "02:17: who acts on what"
    assert "agent cost writes field db/main.instances (loop 2)" in (desc.text or "")
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"


def test_the_svg_stands_alone_and_knows_dark() -> None:
    svg = render(night(), "svg").decode()
    assert svg.count("http") == 1  # the name space
    assert "prefers-color-scheme: dark" in svg
    assert "url(" not in svg
    assert "<image" not in svg


def test_invariant_and_loops_are_marked_in_words() -> None:
    for form in ("text", "svg", "dot"):
        shown = render(night(), form).decode()
        assert "loops 1, 2" in shown
        assert "connections" in shown
        assert "block" in shown


@pytest.mark.parametrize(("agents", "fields"), [(3, 4), (12, 9), (25, 33)])
def test_no_label_lies_on_a_box_or_on_another_label(agents: int, fields: int) -> None:
    layout = laid_out(fleet(agents, fields))
    boxes = [drawn.place for drawn in layout.boxes]
    labels = [flow.label_place for flow in layout.flows if flow.label_place is not None]
    assert len(labels) == sum(1 for flow in layout.flows if flow.label)
    assert not [pair for pair in combinations([*boxes, *labels], 2) if pair[0].meets(pair[1])]
    for place in (*boxes, *labels):
        assert place.left >= 0
        assert place.top >= 0
        assert place.right <= layout.width
        assert place.bottom <= layout.height


def test_an_arrow_past_a_column_goes_around_its_boxes() -> None:
    layout = laid_out(fleet(3, 4))
    flow = next(flow for flow in layout.flows if flow.label == "past a column")
    boxes = [drawn.place for drawn in layout.boxes]
    assert not [point for point in flow.curve.points for place in boxes if place.grown(-1).holds(point)]


def test_boxes_without_rank_stand_right_of_what_leads_to_them() -> None:
    boxes = tuple(Box(name, "call", name) for name in "dcba")
    arrows = tuple(Arrow(*pair, "caused_by") for pair in ("ab", "bc", "ac", "cd", "db"))  # b, c, d are a circle
    places = {drawn.box.id: drawn.place for drawn in laid_out(Diagram("-", "", boxes, arrows)).boxes}
    assert places["a"].right < places["b"].left == places["c"].left == places["d"].left


def test_a_diagram_of_nothing_is_still_one() -> None:
    empty = Diagram("Nothing")
    assert ET.fromstring(render(empty, "svg").decode()).tag == f"{SVG}svg"
    assert Dot(render(empty, "dot").decode()).nodes == {}
    assert render(empty, "text").decode() == "Nothing\n\nnothing to show\n"
    assert render(empty, "png").startswith(b"\x89PNG")


def test_arrows_to_nowhere_and_boxes_told_twice_are_left_out() -> None:
    diagram = Diagram("-", "", (Box("a", "call", "a"), Box("a", "call", "a")), (Arrow("a", "z", "made"),))
    told = json.loads(render(diagram, "json"))
    assert len(told["boxes"]) == 1
    assert told["arrows"] == []


def test_json_has_every_key_of_its_schema() -> None:
    told = json.loads(render(night(), "json"))
    assert list(told) == ["comity_diagram", "title", "about", "boxes", "arrows", "notes", "root"]
    assert told["comity_diagram"] == 1
    assert all(list(box) == ["id", "kind", "label", "detail", "rank"] for box in told["boxes"])
    keys = ["source", "target", "kind", "label", "weight", "is_guess", "loops"]
    assert all(list(arrow) == keys for arrow in told["arrows"])


@pytest.mark.parametrize("width", [10, 40, 60, 100])
def test_text_keeps_to_its_width(width: int) -> None:
    made = CausalMap(Plant())
    made.feed_all(events())
    for diagram in (night(), why_diagram(made.why("route-1/4")), fleet(12, 9)):
        lines = render(diagram, "text", width=width).decode().splitlines()
        assert max(columns_of(line) for line in lines) <= max(width, 40)


def test_text_of_an_ancestry_is_a_tree() -> None:
    made = CausalMap(Plant())
    made.feed_all(events())
    lines = render(why_diagram(made.why("db/main.instances@2")), "text").decode().splitlines()
    assert lines[:7] == [
        "Why db/main.instances@2",
        "",
        "field db/main.instances@2",
        "└─ [wrote] call shed cost-1/1  (cost · happened · 02:15:45)",
        "   ├─ [read db/main.instances@1] unknown db/main.instances@1  (not recorded)",
        "   ├─ [read db/main.utilisation@1] observation db/main.utilisation v1  (agent:probe · 02:15:30)",
        "   └─ [made] task cost-1  (cost · 02:15:00)",
    ]


def test_what_would_be_touched_is_drawn_with_steps_and_invariants() -> None:
    made = CausalMap(Plant())
    text = render(touch_diagram(made.would_touch("scale", {"to": 20, "from": 12})), "text").decode()
    assert "field app/web.instances  (+8)" in text
    assert "moves      db/main.utilisation  derives after 30 s" in text
    assert "invariant connections  (block, enforce)" in text
    unknown = render(touch_diagram(made.would_touch("rm", {})), "text").decode()
    assert "Nobody declared what this tool touches: unknown." in unknown


def test_a_guess_is_called_a_guess_in_every_format() -> None:
    for form in ("text", "dot", "svg"):
        assert "guess r=0.93" in render(fleet(3, 8), form).decode()
    assert [arrow["is_guess"] for arrow in json.loads(render(fleet(3, 8), "json"))["arrows"]].count(True) == 1


def test_a_png_is_twice_as_large_as_its_svg_and_has_words_in_it() -> None:
    drawn = render(night(), "png")
    width, height = struct.unpack(">II", drawn[16:24])
    root = ET.fromstring(render(night(), "svg").decode())
    assert (width, height) == (2 * int(root.get("width", "0")), 2 * int(root.get("height", "0")))
    assert png.font_family(()) is not None


def test_a_picture_that_is_too_large_is_drawn_smaller() -> None:
    boxes = tuple(Box(str(number), "call", str(number), rank=0) for number in range(300))
    width, height = struct.unpack(">II", render(Diagram("-", "", boxes), "png")[16:24])
    assert max(width, height) <= png.SIDE_MAX


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without fonts."""
    draw = resvg_py.svg_to_bytes
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda **how: draw(skip_system_fonts=True, **how))
    monkeypatch.setattr(png, "FOLDERS", ())
    png.font_family.cache_clear()
    yield
    png.font_family.cache_clear()


@pytest.mark.usefixtures("bare")
def test_without_a_font_a_png_is_refused_with_a_way_out() -> None:
    with pytest.raises(UsageError, match="no font") as caught:
        render(night(), "png")
    assert caught.value.code == "no_font"
    assert "apt-get install" in caught.value.hint
    assert "svg" in caught.value.hint


@pytest.mark.usefixtures("bare")
def test_fonts_that_are_given_are_used_whatever_their_family_is(tmp_path: Path) -> None:
    found = [file for folder in ("/usr/share/fonts",) for file in sorted(Path(folder).rglob("*.ttf"))]
    serif = next((file for file in found if "Serif" in family_of(file)), None)
    if serif is None:
        pytest.skip("this machine has no font with serifs to try")
    assert render(night(), "png", fonts=[serif]).startswith(b"\x89PNG")
    (tmp_path / serif.name).write_bytes(serif.read_bytes())
    assert png.font_family((str(tmp_path),)) == family_of(serif)


def test_a_font_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="`/nowhere`"):
        render(night(), "png", fonts=[Path("/nowhere")])


def test_what_is_no_font_names_no_family(tmp_path: Path) -> None:
    broken = (b"", b"\x00\x01\x00\x00", b"ttcf" + b"\xff" * 20, b"\x00\x01\x00\x00\x00\x09" * 9)
    for number, content in enumerate(broken):
        (tmp_path / f"{number}.ttf").write_bytes(content)
    assert families([str(tmp_path)]) == []


def test_a_long_name_loses_its_middle() -> None:
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert shortened("宽宽宽宽宽", 5) == "宽…宽"
    assert shortened("abc", 3) == "abc"
