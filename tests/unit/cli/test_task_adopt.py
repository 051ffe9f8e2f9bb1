"""`comity tasks adopt`: the identity of a program that is started elsewhere, as shell lines or JSON."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from comity.cli.exits import Exit
from http_stage import HttpStage, serving


@asynccontextmanager
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpStage]:
    """A server that is named in the environment."""
    async with serving(tmp_path / "server") as stage:
        monkeypatch.setenv("COMITY_SERVER", stage.server.url)
        monkeypatch.setenv("COMITY_TOKEN", stage.token)
        yield stage


async def adopted(comity: Any, *words: str) -> dict[str, Any]:
    """Return what a command that succeeds answers as JSON; it runs beside this loop, which serves it."""
    result = await asyncio.to_thread(comity, "tasks", "adopt", *words, "--json")
    assert result.exit_code == Exit.OK, result.stderr
    return json.loads(result.stdout)


async def refused(comity: Any, *words: str) -> str:
    """Return what a command says that is refused."""
    result = await asyncio.to_thread(comity, "tasks", "adopt", *words)
    assert result.exit_code == Exit.USAGE, result.stdout
    return result.stderr


async def test_a_new_task_is_made_for_an_agent_that_nobody_knew(
    comity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(tmp_path, monkeypatch) as stage:
        made = await adopted(comity, "--agent", "clerk", "--goal", "refund", "--budget", "usd=1")
        shown = await stage.document("GET", f"/tasks/{made['task']}")
        assert (made["incarnation"], shown["goal"], shown["budget"]["usd"]) == (1, "refund", 1.0)
        assert made["environment"]["OPENAI_API_KEY"] == made["token"]
        assert made["environment"]["COMITY_TASK"] == made["task"]
        await stage.document("GET", f"/tasks/{made['task']}", headers={"Authorization": f"Bearer {made['token']}"})


async def test_people_get_lines_for_their_shell(comity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(tmp_path, monkeypatch) as stage:
        result = await asyncio.to_thread(comity, "tasks", "adopt", "--agent", "clerk", "--goal", "it's")
        lines = dict(shlex.split(line)[1].split("=", 1) for line in result.stdout.splitlines())
        assert lines["OPENAI_BASE_URL"] == f"{stage.server.url}/v1"
        assert lines["COMITY_MCP_URL"] == f"{stage.server.url}/t/{lines['OPENAI_API_KEY']}/mcp"
        assert "incarnation 1 of task" in result.stderr


async def test_a_program_that_begins_anew_voids_the_one_before(
    comity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(tmp_path, monkeypatch) as stage:
        first = await adopted(comity, "--agent", "clerk", "--goal", "refund", "--dedupe", "order-7")
        assert "has a program already (incarnation 1)" in await refused(comity, first["task"])
        second = await adopted(comity, first["task"][-8:], "--renew")
        assert (second["task"], second["incarnation"]) == (first["task"], 2)
        old = {"Authorization": f"Bearer {first['token']}"}
        await stage.refusal("GET", f"/tasks/{first['task']}", 401, "old_incarnation", headers=old)


async def test_the_same_key_gives_the_same_task(comity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(tmp_path, monkeypatch):
        words = ("--agent", "clerk", "--goal", "refund", "--dedupe", "order-7")
        first, second = await adopted(comity, *words), await adopted(comity, *words)
        assert (first["task"], second["incarnation"]) == (second["task"], 2)


async def test_without_a_server_it_says_that_one_must_be_up(comity) -> None:
    said = await refused(comity, "--agent", "clerk", "--goal", "refund")
    assert "a program is adopted at a server" in said
    assert "start `comity up`" in said


@pytest.mark.parametrize("words", [(), ("5f0c93ab", "--agent", "clerk"), ("5f0c93ab", "--goal", "x"), ("--goal", "x")])
async def test_either_a_task_or_an_agent_is_named(comity, words: tuple[str, ...]) -> None:
    assert "error:" in await refused(comity, *words)
