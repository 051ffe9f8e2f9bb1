"""`comity rehearse`: exit codes, JSON, files written, fixes applied, what is wrong said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from comity.cli.exits import Exit
from comity.cli.main import root
from unit.rehearsal.worlds import SCENARIOS

Run = Callable[..., Result]


@pytest.fixture
def comity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(root, ["rehearse", *words], input=stdin, prog_name="comity")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "world.yaml"
    made.write_text((SCENARIOS / "two-drains" / "world.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return made


def test_a_broken_invariant_is_exit_code_1_with_a_summary_in_markdown(comity: Run, file: Path) -> None:
    result = comity(str(file))
    assert result.exit_code == Exit.FAILED
    assert result.stdout.startswith("# Rehearsal of two-drains")
    assert "`node-a` and `node-b` together" in result.stdout
    assert "## Shortest counterexample, 4 steps" in result.stdout
    assert "--apply 1" in result.stdout


def test_one_agent_alone_is_safe_and_exit_code_0(comity: Run, file: Path) -> None:
    result = comity(str(file), "--agents", "node-a", "-q")
    assert result.exit_code == Exit.OK
    assert result.stdout == "safe (exhaustive)\n"


def test_json_has_what_pipelines_read(comity: Run, file: Path) -> None:
    found = json.loads(comity(str(file), "--json").stdout)
    assert found["verdict"] == "violated"
    assert found["states"] == 9
    assert found["minimal_agents"] == ["node-a", "node-b"]
    assert [step["kind"] for step in found["counterexample"]["steps"]] == ["think", "think", "act", "act"]
    assert found["fixes"][0]["is_safe"] is True
    assert "one-serves" in found["fixes"][0]["patch"]
    assert found["coverage"]["tools"]["drain"] > 0


def test_the_first_fix_is_written_into_the_file_and_makes_it_safe(comity: Run, file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    result = comity(str(file), "--apply", "1", "--yes")
    assert result.exit_code == Exit.OK
    after = file.read_text(encoding="utf-8")
    assert "+    mode: enforce" in result.stderr
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []
    assert comity(str(file), "-q").stdout == "safe (exhaustive)\n"


def test_a_fix_is_not_written_unasked(comity: Run, file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    result = comity(str(file), "--apply", "1")
    assert result.exit_code == Exit.USAGE
    assert "--yes" in result.stderr
    assert file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--apply", "99", "--yes"], "there is no fix 99"),
        (["--agents", "ghost"], "rehearses no agent `ghost`"),
        (["--budget", "soon"], "`soon` is no time"),
    ],
)
def test_what_is_typed_wrong_is_exit_code_2(comity: Run, file: Path, words: list[str], said: str) -> None:
    result = comity(str(file), *words)
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr


def test_a_fix_that_is_code_says_what_to_write(comity: Run, file: Path) -> None:
    fixes = json.loads(comity(str(file), "--json").stdout)["fixes"]
    number = 1 + next(place for place, fix in enumerate(fixes) if fix["kind"] == "claim")
    result = comity(str(file), "--apply", str(number), "--yes")
    assert result.exit_code == Exit.USAGE
    assert "ctx.claim" in result.stderr


def test_a_file_that_is_not_there_or_wrong(comity: Run, tmp_path: Path) -> None:
    assert comity("nowhere.yaml").exit_code == Exit.NOT_FOUND
    (tmp_path / "odd.yaml").write_text("kinds: 3\n", encoding="utf-8")
    assert comity("odd.yaml").exit_code == Exit.USAGE
    (tmp_path / "none.yaml").write_text("name: empty\n", encoding="utf-8")
    result = comity("none.yaml")
    assert result.exit_code == Exit.USAGE
    assert "no agents to rehearse" in result.stderr


def test_the_page_needs_nothing_else(comity: Run, file: Path, tmp_path: Path) -> None:
    comity(str(file), "--html", "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "one-serves" in page
    assert "src=" not in page
    assert "href=" not in page


def test_the_written_test_fails_until_a_fix_is_applied(comity: Run, file: Path, tmp_path: Path) -> None:
    comity(str(file), "--test", "test_replay.py")
    failed = _pytest(tmp_path)
    assert failed.returncode == 1
    assert "the 4 steps still break `one-serves`" in failed.stdout
    comity(str(file), "--apply", "1", "--yes")
    assert _pytest(tmp_path).returncode == 0


def _pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_replay.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_promela_is_written(comity: Run, file: Path, tmp_path: Path) -> None:
    comity(str(file), "--promela", "model.pml", "-q")
    assert "active proctype world()" in (tmp_path / "model.pml").read_text(encoding="utf-8")
