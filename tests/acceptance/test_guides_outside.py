"""The guides of outside programs, executed: each command as it is typed, with the kill that the page asks for.

Two commands do here what they do at a reader's desk and no more: `pkill` sees only processes that work in the test's
folder, and the stand-in provider listens where nobody else does.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

from comity.runtime.config import load_config
from comity.testing.waiting import wait_until
from conformance.programs import Missing, folder_of, node

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "guides"
EXAMPLES = ROOT / "examples" / "outside"
NAMES = ("openai", "openai-agents", "pydantic-ai", "langgraph", "anthropic", "node", "curl")
PORT = "8010"
DONE_S = 120.0
PKILL = """\
#!{python}
import os, re, signal, sys
from pathlib import Path
assert sys.argv[1:3] == ["-9", "-f"]
for process in Path("/proc").iterdir():
    try:
        words = process.joinpath("cmdline").read_bytes().rstrip(b"\\0").replace(b"\\0", b" ").decode()
        mine = process.name.isdecimal() and os.readlink(process / "cwd") == os.getcwd()
    except OSError:
        continue
    if mine and re.search(sys.argv[3], words):
        os.kill(int(process.name), signal.SIGKILL)
        print("killed", words)
"""


class Page(NamedTuple):
    """A guide: its program, its three blocks of commands, and all of its text."""

    program: str
    terminals: list[list[str]]
    text: str


def page(name: str) -> Page:
    """Read a guide."""
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```(python|js|sh)\n(.*?)```", text, re.DOTALL))
    assert len(blocks) == 1
    consoles = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return Page(blocks.popitem()[1], [console.splitlines() for console in consoles], text)


def typed(lines: list[str]) -> list[str]:
    """Return the commands of a block."""
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


class Desk:
    """A reader's desk: a home, a clone with the examples, and the programs that the page says are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        clone = folder / "clone" / "examples" / "outside"
        shutil.copytree(EXAMPLES, clone, ignore=shutil.ignore_patterns("__pycache__"))
        for file in clone.glob("*/comity.toml"):
            file.write_text(self.here(file.read_text(encoding="utf-8")), encoding="utf-8")
        programs = folder / "bin"
        programs.mkdir()
        programs.joinpath("pkill").write_text(PKILL.format(python=sys.executable), encoding="utf-8")
        programs.joinpath("comity").write_text(f'#!/bin/sh\nexec {sys.executable} -m comity "$@"\n', encoding="utf-8")
        for file in programs.iterdir():
            file.chmod(0o755)
        programs.joinpath("node").symlink_to(node())
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("COMITY_", "OPENAI_"))}
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), kept["PATH"]])
        self.environment = {**kept, "HOME": str(folder / "home"), "CLONE": str(folder / "clone"), "PATH": path}
        folder.joinpath("home").mkdir()

    def here(self, text: str) -> str:
        """Return a text with the provider's port on this desk."""
        return text.replace(PORT, self.port)

    def install(self, name: str) -> None:
        """Install what a page says that a program needs beside Comity's own environment."""
        where = self.folder / "clone" / "examples" / "outside" / name
        if name == "node":
            where.joinpath("node_modules").symlink_to(folder_of("npm") / "node_modules")
        if name == "langgraph":
            venv.create(where / "env", symlinks=True)
            (packages,) = where.glob("env/lib/python*/site-packages")
            others = next(path for path in sys.path if path.endswith("site-packages"))
            packages.joinpath("all.pth").write_text(f"{folder_of('mcp1')}\n{others}\n", encoding="utf-8")

    def terminal(self, lines: list[str], folder: Path) -> subprocess.Popen[bytes]:
        """Type commands in a terminal."""
        script = self.here("set -e\n" + "\n".join(typed(lines)))
        with folder.joinpath("stdout").open("ab") as screen:
            return subprocess.Popen(
                ["bash", "-c", script],
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=screen,
                start_new_session=True,
            )

    def answer(self, command: str, folder: Path) -> str:
        """Return what a command prints."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DONE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def lines_of(file: Path) -> list[str]:
    """Return the lines of a file, none where it is not there."""
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


@pytest.mark.parametrize("name", NAMES)
async def test_a_program_that_is_killed_goes_on_as_its_guide_says(name: str, tmp_path: Path) -> None:
    guide, desk = page(name), Desk(tmp_path)
    try:
        desk.install(name)
    except Missing as missing:
        pytest.skip(f"not to be had here: {missing}")
    rooms = tmp_path / "rooms" / name
    first = desk.terminal(guide.terminals[0], tmp_path)
    try:
        await wait_until(lambda: lines_of(rooms / "bookings.txt") or first.poll() is not None, DONE_S, "a booking")
        assert first.poll() is None, "\n".join(lines_of(tmp_path / "stdout"))
        killed = desk.answer(" && ".join(typed(guide.terminals[1])), rooms)
        assert killed.startswith("killed ")
        await wait_until(lambda: first.poll() is not None, DONE_S, "the end of the first terminal")
    finally:
        os.killpg(first.pid, signal.SIGKILL)  # the stand-in provider goes on in the background
        first.wait()
    told = lines_of(tmp_path / "stdout")
    assert first.returncode == 0, told
    assert "Your room in Lisbon is booked." in told
    task = next(line.split()[1] for line in told if line.startswith("task "))
    assert any("begins anew" in line for line in told)
    shown = ""
    for line in typed(guide.terminals[2]):
        output = desk.answer(line.replace("TASK", task), rooms)
        shown += f"$ {line}\n{output if 'TASK' not in line else ''}"
        last = output
    assert shown.splitlines() == guide.terminals[2]
    calls = re.findall(r"^\d+ +(model|tool) +(\S+) .*done +1 ", last, re.MULTILINE)
    assert [kind for kind, _ in calls] == ["model", "tool", "model", "tool", "model"]
    assert [re.split(r"[._]", tool)[-1] for kind, tool in calls if kind == "tool"] == ["look", "book"]


@pytest.mark.parametrize("name", NAMES)
def test_a_guide_shows_its_example_as_it_is(name: str) -> None:
    guide = page(name)
    (program,) = EXAMPLES.joinpath(name).glob("agent.*")
    assert guide.program == program.read_text(encoding="utf-8")
    assert len(guide.text.splitlines()) <= 80
    assert "comity" not in guide.program.lower()


def test_every_example_of_an_outside_program_has_a_guide() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} - {"__pycache__"} == set(NAMES)


def test_the_concept_page_explains_the_configuration_that_the_examples_have(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "concepts" / "outside-programs.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    for name in NAMES:
        example = tomllib.loads(EXAMPLES.joinpath(name, "comity.toml").read_text(encoding="utf-8"))
        if name == "anthropic":
            assert example["upstreams"]["provider"].pop("kind") == "anthropic"
        assert example == tomllib.loads(blocks[0])
    tmp_path.joinpath("comity.toml").write_text("\n".join(blocks), encoding="utf-8")
    loaded = load_config({"HOME": str(tmp_path)}, file=str(tmp_path / "comity.toml"))
    assert loaded.sections.agents["clerk"].kind == "outside"
