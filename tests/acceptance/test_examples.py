"""The examples, executed as a reader would: each as a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def executed(name: str, folder: Path) -> list[str]:
    """Run an example in a folder of its own and return the lines that it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COMITY_", "OPENAI_"))}
    environment |= {"HOME": str(folder), "COMITY_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_second_task_of_a_session_remembers_what_the_first_learned(tmp_path: Path) -> None:
    assert executed("remembering.py", tmp_path) == [
        "anna, first task:  Thank you, I will remember that.",
        "anna, second task: You live in Lisbon.",
        "ben:               You have not told me.",
    ]


def test_an_editor_gathers_its_children_and_waits_for_time_signal_and_person(tmp_path: Path) -> None:
    assert executed("newsroom.py", tmp_path) == [
        "editor asks: Publish 2 lines on press 2?",
        "A NEW CRANE; TWO SHIPS FROM BERGEN",
        "RAIN UNTIL THURSDAY",
    ]


def test_a_rethink_and_another_task_cannot_book_twice(tmp_path: Path) -> None:
    assert executed("booking.py", tmp_path) == [
        "failed",
        "the room that is booked (other_arguments), Saturday",
        "room 1, Saturday",
        "the hotel's book: ['Anna, Saturday, a quiet room']",
    ]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_executed_by_a_test(path: Path) -> None:
    assert f'executed("{path.name}"' in Path(__file__).read_text(encoding="utf-8")
