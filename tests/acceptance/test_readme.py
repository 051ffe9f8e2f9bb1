"""The README, executed: its program is killed and resumes, its promises have the tests that they name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = re.search(r"```console\n(\$ python .*?)```", README, re.DOTALL)
PROGRAM = re.search(r"```python\n(.*?)```", README, re.DOTALL)
PROMISES = re.findall(r"^\| (P\d+) \|[^|]*\| (.*) \|$", README, re.MULTILINE)


def typed(command: str, folder: Path) -> str:
    """Run a command as the README's reader would, and return what a terminal shows."""
    words = [sys.executable if word == "python" else word for word in command.split()]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COMITY_")}
    environment |= {"HOME": str(folder), "COMITY_HOME": str(folder / "home")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return "Killed\n" if done.returncode == -9 else done.stdout + done.stderr


def test_the_program_is_killed_and_resumes_as_the_readme_shows(tmp_path: Path) -> None:
    assert CONSOLE is not None
    assert PROGRAM is not None
    tmp_path.joinpath("order.py").write_text(PROGRAM[1], encoding="utf-8")
    shown = ""
    for line in CONSOLE[1].splitlines():
        if line.startswith("$ "):
            shown += f"{line}\n{typed(line.removeprefix('$ '), tmp_path)}"
    assert shown == CONSOLE[1]


def test_the_readme_has_at_most_120_lines() -> None:
    assert len(README.splitlines()) <= 120


def test_the_readme_tells_of_all_ten_promises() -> None:
    assert [name for name, _ in PROMISES] == [f"P{number}" for number in range(1, 11)]


@pytest.mark.parametrize(("name", "proof"), PROMISES)
def test_each_promise_names_tests_that_are_there_or_says_not_yet(name: str, proof: str) -> None:
    tests = re.findall(r"\[([^]]+)\]\(([^)]+)\)", proof)
    assert tests or proof == "not yet"
    for sentence, path in tests:
        function = "test_" + sentence.replace(" ", "_")
        assert f"def {function}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {function}"


def test_every_make_target_that_the_readme_names_is_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named <= set(targets)
