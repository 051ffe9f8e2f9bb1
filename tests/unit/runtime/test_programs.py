"""Agent files that change after they were registered: nodes run, and record, the code that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.journal.spec import AgentSpec, Program, ToolSpec
from comity.runtime.config import load_config
from comity.runtime.programs import LivePrograms, digest_of, register
from comity.testing import MemoryStore


def program(file: Path, *tools: str) -> Program:
    agent = AgentSpec("clerk", tools=tools)
    return Program(str(file), digest_of(str(file)), (agent,), tuple(ToolSpec(name) for name in tools))


async def test_an_edited_file_is_read_and_registered_again(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "clerk.py"
    file.write_text("first")
    read: list[str] = []

    async def describe(path: str) -> Program:
        read.append(path)
        return program(file, "pay", "refund")

    programs = LivePrograms(store, describe, load_config({"HOME": str(tmp_path)}, folder=tmp_path))
    assert await programs.find("clerk") is None
    await register(store, program(file, "pay"))
    found = await programs.find("clerk")
    assert found is not None
    assert (found.tool("refund"), read) == (None, [])
    file.write_text("second")
    found = await programs.find("clerk")
    assert found is not None
    assert found.tool("refund") is not None
    assert found.version(found.agents[0]) == digest_of(str(file))[:12]
    await programs.find("clerk")
    assert read == [str(file)]


async def test_a_file_that_no_longer_offers_the_agent_is_told(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "clerk.py"
    file.write_text("first")
    await register(store, program(file))
    file.write_text("second")

    async def describe(path: str) -> Program:
        return Program(path, digest_of(path), (AgentSpec("other"),), ())

    programs = LivePrograms(store, describe, load_config({"HOME": str(tmp_path)}, folder=tmp_path))
    with pytest.raises(UsageError, match="no longer offers agent `clerk`"):
        await programs.find("clerk")


async def test_a_file_that_is_not_on_this_machine_is_left_as_it_was_registered(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "clerk.py"
    file.write_text("first")
    known = program(file)
    await register(store, known)
    file.unlink()

    async def describe(path: str) -> Program:
        raise AssertionError(path)

    programs = LivePrograms(store, describe, load_config({"HOME": str(tmp_path)}, folder=tmp_path))
    assert await programs.find("clerk") == known
