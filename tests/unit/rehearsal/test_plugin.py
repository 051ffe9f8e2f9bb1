"""The pytest plug-in: a function and a fixture that fail with the counterexample, and cost nothing until used."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from comity.rehearsal import assert_coordinated
from unit.rehearsal.worlds import ROOT, SCENARIOS

WORLD = SCENARIOS / "two-drains" / "world.yaml"
TEST = """
def test_safe(assert_coordinated):
    assert_coordinated("world.yaml", agents=("node-a",))


def test_broken(assert_coordinated):
    assert_coordinated("world.yaml")
"""


def test_a_world_that_is_not_safe_fails_with_its_counterexample() -> None:
    with pytest.raises(AssertionError, match="Shortest counterexample, 4 steps"):
        assert_coordinated(WORLD)
    assert assert_coordinated(WORLD, agents=("node-b",)).verdict == "safe (exhaustive)"


def test_the_fixture_finds_the_file_beside_the_test(tmp_path: Path) -> None:
    (tmp_path / "world.yaml").write_text(WORLD.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_world.py").write_text(TEST, encoding="utf-8")
    is_installed = any(item.name == "comity" for item in entry_points(group="pytest11"))
    plugin = [] if is_installed else ["-p", "comity.rehearsal.plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, "test_world.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert "1 failed, 1 passed" in said
    assert "`node-a` and `node-b` together" in said


def test_the_plugin_is_declared_and_loads_nothing_but_pytest() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert declared["pytest11"] == {"comity": "comity.rehearsal.plugin"}
    code = "import sys, comity.rehearsal.plugin; print([n for n in sys.modules if n.startswith('comity.')])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['comity.rehearsal', 'comity.rehearsal.plugin']"
