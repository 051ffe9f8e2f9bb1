"""The guide on coordination, executed: the file as it stands, each command as it is typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "coordination.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "examples" / "coordination" / "world.yaml").read_text(encoding="utf-8")
EXITS = {"check": 0, "rehearse": 1, "apply": 0, "again": 0}


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def typed(line: str, folder: Path) -> tuple[int, str]:
    """Run a command line of the guide; return its exit code and what it printed."""
    words = shlex.split(line.removeprefix("$ comity "))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COMITY_")}
    environment |= {"HOME": str(folder), "COMITY_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "comity", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_two_agents_are_described_rehearsed_and_mended_as_the_guide_says(tmp_path: Path) -> None:
    (world,) = blocks("yaml")
    assert world == EXAMPLE
    file = tmp_path / "world.yaml"
    file.write_text(world, encoding="utf-8")
    lines = [line for block in blocks("console") for line in block.splitlines() if line.startswith("$ comity")]
    found = dict(zip(EXITS, [typed(line, tmp_path) for line in lines], strict=True))
    assert {name: code for name, (code, _) in found.items()} == EXITS, found
    assert "one linear invariant" in GUIDE
    assert "linear, over an aggregate" in found["check"][1]
    assert "violated: `north` and `south` together" in found["rehearse"][1]
    assert "safe (exhaustive)" in found["again"][1]
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["invariants"]["web-is-served"]["mode"] == "enforce"


def test_the_mistake_of_the_guide_is_told_as_it_shows(tmp_path: Path) -> None:
    mistake = EXAMPLE.replace("holds: up >= 1", "holds: upp >= 1")
    (tmp_path / "world.yaml").write_text(mistake, encoding="utf-8")
    code, told = typed("$ comity world check world.yaml", tmp_path)
    assert (code, told) == (1, blocks("text")[0])


def test_the_pipeline_and_the_configuration_of_the_guide_can_be_read() -> None:
    (job,) = blocks("yml")
    steps = yaml.safe_load(job)["jobs"]["rehearse"]["steps"]
    (shell,) = blocks("sh")
    for command in shell.strip().split(" && "):
        assert any(step.get("run", "").startswith(command) for step in steps), command
    (settings,) = blocks("toml")
    assert tomllib.loads(settings) == {"world": {"file": "world.yaml"}}
