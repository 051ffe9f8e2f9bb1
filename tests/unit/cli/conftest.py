"""A folder of its own for each test, the command line in this process, and a store with a few tasks of a clerk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from comity.cli.follow import Bell
from comity.cli.main import root
from comity.core.ids import show_id
from comity.journal.program import load
from comity.journal.task import State
from comity.kernel import Settings
from comity.runtime.embedded import Embedded
from comity.runtime.programs import register
from comity.stores.open import open_store

CLERK = '''"""A clerk that charges orders."""
from comity import Context, agent, tool
from comity.testing import ScriptedModel

mind = ScriptedModel({"": "all is well"})


@tool(effect="irreversible")
def charge(order: int, amount: int) -> dict:
    """Charge an order."""
    return {"id": f"ch_{order}", "amount": amount}


@tool(effect="irreversible")
def breaks(order: int) -> str:
    """Be cut off."""
    raise OSError("connection reset")


@agent(model=mind, tools=[charge, breaks])
async def clerk(context: Context) -> str:
    """Do what the goal says."""
    if "doubt" in context.goal:
        await context.act(breaks, order=7)
    if "ask" in context.goal:
        await context.ask_human("Ship it?", options=["yes", "no"])
    if "fail" in context.goal:
        raise ValueError("no such order")
    await context.act(charge, order=7, amount=9 if "dear" in context.goal else 5)
    return (await context.think("Tell what happened")).text
'''

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder and HOME of a test, without any setting from outside."""
    import os

    for name in [name for name in os.environ if name.startswith(("COMITY_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def comity(folder: Path) -> Run:
    """Run a command line and return what it came to; no error may leave it as a stack trace."""

    def run(*words: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(root, list(words), input=stdin, prog_name="comity")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def clerk(folder: Path) -> Path:
    """The agent file."""
    file = folder / "clerk.py"
    file.write_text(CLERK, encoding="utf-8")
    return file


@pytest.fixture
def tasks(folder: Path, clerk: Path) -> dict[str, str]:
    """Tasks in the store, by their goal: done, dear (done), in doubt, asking, failed. Ids in full."""
    goals = ("done", "dear", "doubt", "ask", "fail")
    (folder / "home").mkdir(mode=0o700)
    return asyncio.run(_worked_on(clerk, folder / "home", goals))


async def _worked_on(clerk: Path, home: Path, goals: tuple[str, ...]) -> dict[str, str]:
    store = open_store(f"sqlite:///{home / 'comity.db'}")
    await store.open()
    try:
        loaded = load(clerk)
        await register(store, loaded.program)
        async with Embedded(loaded, store, settings=Settings(linger_s=0.0)) as node:
            made = {goal: await node.create("clerk", goal, session="ada" if goal == "done" else "") for goal in goals}
            for goal, task in made.items():
                if goal == "ask":
                    await _is_waiting(node, task)
                else:
                    await node.left(task)
        return {goal: show_id(task) for goal, task in made.items()}
    finally:
        await store.close()


async def _is_waiting(node: Embedded, task: bytes) -> None:
    bell = Bell(node.store)
    while (await node.orders.row(task)).state is not State.WAITING:
        await bell.wait()
    bell.close()


def document(result: Result) -> Any:
    """Return the one JSON document that a command wrote."""
    return json.loads(result.stdout)
