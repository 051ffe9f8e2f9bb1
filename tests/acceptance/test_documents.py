"""The documents, held to the code: the picture of the state machine, links, and the README's promises."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import reference
from comity.cli.main import COMMANDS
from comity.journal.task import MOVES, ParkReason, State, Wake

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
STATE_MACHINE = (DOCS / "internals" / "state-machine.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "llms.txt", *DOCS.rglob("*.md")])
EDGES = {(before, after) for before, moves in MOVES.items() for after in moves}


def test_the_picture_of_the_state_machine_shows_exactly_its_moves() -> None:
    picture = ET.parse(DOCS / "internals" / "state-machine.svg").getroot()
    elements = [item.attrib for item in picture.iter()]
    drawn = [(State(item["data-from"]), State(item["data-to"])) for item in elements if "data-from" in item]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == EDGES
    assert {item["data-state"] for item in elements if "data-state" in item} == set(State)


def test_every_picture_is_well_formed_and_shown_somewhere() -> None:
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for picture in DOCS.rglob("*.svg"):
        assert ET.parse(picture).getroot().tag.endswith("svg")
        assert f"{picture.name})" in shown


def test_the_table_of_the_state_machine_shows_exactly_its_moves() -> None:
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|$", STATE_MACHINE, re.MULTILINE)
    tabled = {
        (before, after) for before, cell in rows if before in set(State) for after in re.findall(r"`(\w+)`", cell)
    }
    assert tabled == EDGES


@pytest.mark.parametrize("reason", [*Wake, *ParkReason])
def test_every_reason_to_wait_or_to_be_parked_is_explained(reason: str) -> None:
    assert f"\n| `{reason}` |" in STATE_MACHINE


def test_the_reference_is_what_the_program_says() -> None:
    assert reference.main(["--check"]) == 0, "run tools/reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{target} is not there"


def test_the_file_for_language_models_leads_to_every_guide_and_concept() -> None:
    text = (ROOT / "llms.txt").read_text(encoding="utf-8")
    assert text.startswith("# Comity\n\n> ")
    linked = set(re.findall(r"\]\(([^)]+)\)", text))
    pages = [*DOCS.joinpath("guides").glob("*.md"), *DOCS.joinpath("concepts").glob("*.md")]
    assert {str(page.relative_to(ROOT)) for page in pages} <= linked
    for command in re.findall(r"`comity (\w+)", text):
        assert command in COMMANDS
