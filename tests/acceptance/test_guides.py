"""The guides, executed: each program as it stands, each command as it is typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
FIRST_AGENT = (DOCS / "guides" / "first-agent.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def executed(words: list[str], folder: Path) -> str:
    """Run a program in a folder and a home of its own, and return what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COMITY_", "OPENAI_"))}
    environment |= {"HOME": str(folder), "COMITY_HOME": str(folder / "home")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_agent_does_what_its_guide_says(tmp_path: Path) -> None:
    (program,) = blocks(FIRST_AGENT, "python")
    tmp_path.joinpath("library.py").write_text(program, encoding="utf-8")
    printed = {}
    for line in "".join(blocks(FIRST_AGENT, "console")).splitlines():
        words = shlex.split(line.removeprefix("$ comity "))
        printed[line] = executed([sys.executable, "-m", "comity", *words], tmp_path)
    answers = list(printed.values())
    assert answers[0].startswith("Dune is yours, under ")
    assert "succeeded" in answers[1]
    assert "reserve (idempotent)" in answers[2]
    assert answers[3] == "Emma is not there\n"


PAGES = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "guides")  # which have tests of their own


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_program_of_a_document_runs(page: Path, tmp_path: Path) -> None:
    for number, program in enumerate(blocks(page.read_text(encoding="utf-8"), "python")):
        file = tmp_path / f"program{number}.py"
        file.write_text(program, encoding="utf-8")
        executed([sys.executable, str(file)], tmp_path)
