"""`comity world`: what is wrong with a world file in lines that editors and pipelines read, and what was understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comity.cli.exits import Exit

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "coordination" / "world.yaml"
BAD = """\
version: 1
kinds:
  service:
    id: service/{name}
    fields:
      ready: {tpye: integer}
"""


@pytest.fixture
def files(folder: Path) -> Path:
    """A sound world file and one with a mistake."""
    (folder / "world.yaml").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "bad.yaml").write_text(BAD, encoding="utf-8")
    return folder


def test_a_sound_file_is_told_with_what_was_understood(comity, files) -> None:
    result = comity("world", "check", "world.yaml")
    assert result.exit_code == Exit.OK
    assert "world.yaml: sound (1 kind, 1 field, 1 invariant, 2 tools)" in result.stdout
    for words in (
        ("replica/{service}/{node}", "2", "up"),
        ("web-is-served", "linear, over an aggregate", "observe", "block", "up >= 1"),
        ("drain", "replica/{service}/{node}.up set 0"),
    ):
        assert any(all(word in line for word in words) for line in result.stdout.splitlines()), words
    assert comity("world", "check", "world.yaml", "--quiet").stdout == ""


def test_a_mistake_is_one_line_with_its_place_and_a_hint_below(comity, files) -> None:
    result = comity("world", "check", "bad.yaml")
    assert result.exit_code == Exit.FAILED
    assert result.stdout.splitlines() == [
        "bad.yaml:6: kinds.service.fields.ready.tpye: there is no such key",
        "    hint: did you mean `type`?",
    ]
    assert comity("world", "check", "bad.yaml", "--quiet").stdout == result.stdout


def test_several_files_are_looked_at_and_the_worst_decides_the_exit_code(comity, files) -> None:
    result = comity("world", "check", "world.yaml", "bad.yaml")
    assert result.exit_code == Exit.FAILED
    assert result.stdout.startswith("world.yaml: sound")
    assert "bad.yaml:6: " in result.stdout
    result = comity("world", "check", "bad.yaml", "nowhere.yaml")
    assert result.exit_code == Exit.NOT_FOUND
    assert "nowhere.yaml: there is no file `nowhere.yaml`" in result.stdout
    assert comity("world", "check", ".").exit_code == Exit.USAGE


def test_programs_are_given_one_document(comity, files) -> None:
    result = comity("world", "check", "world.yaml", "bad.yaml", "--json")
    assert result.exit_code == Exit.FAILED
    good, bad = json.loads(result.stdout)["files"]
    assert (good["file"], good["is_valid"], good["problems"]) == ("world.yaml", True, [])
    assert good["understood"]["invariants"][0]["shape"] == "linear, over an aggregate"
    assert bad["understood"] is None
    assert bad["problems"] == [
        {
            "line": 6,
            "path": "kinds.service.fields.ready.tpye",
            "message": "there is no such key",
            "hint": "did you mean `type`?",
        }
    ]


def test_signs_that_move_the_cursor_do_not_reach_the_terminal(comity, folder) -> None:
    (folder / "odd.yaml").write_text('"\\e[2Jname": a\nname: "\\u202Eb"\nversion: "\\e[2J"\n', encoding="utf-8")
    result = comity("world", "check", "odd.yaml")
    assert result.exit_code == Exit.FAILED
    assert "\x1b" not in result.stdout


def test_a_check_without_a_file_says_what_it_takes(comity, folder) -> None:
    result = comity("world", "check")
    assert result.exit_code == Exit.USAGE
    assert "missing argument" in result.stderr
    result = comity("world", "chek", "world.yaml")
    assert result.exit_code == Exit.USAGE
    assert "did you mean `check`?" in result.stderr


def test_the_schema_is_printed_as_json(comity, folder) -> None:
    result = comity("world", "schema")
    assert result.exit_code == Exit.OK
    assert json.loads(result.stdout)["properties"]["version"] == {"enum": [1], "default": 1}


def test_help_has_examples(comity, folder) -> None:
    assert "comity world check world.yaml --json" in comity("world", "check", "--help").stdout
    assert "schema" in comity("world", "--help").stdout
