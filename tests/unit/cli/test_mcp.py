"""`comity mcp`, by the official client: at the store, at a server, with rights and without."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from comity.cli.desk import LOOKING, ORDERING, Desk
from world_stage import WORLD

AGENT = '''"""Agents that wait for people."""
from comity import Context, agent


@agent
async def asker(context: Context) -> str:
    """Ask a person."""
    return await context.ask_human("Ship it?", options=["yes", "no"])
'''
NO_TASK = "01a1fa06-397f-7c5a-bc41-637637c415fb"
ENDED_S = 60.0


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMITY_", "OPENAI_"))}
    return {**kept, "HOME": str(folder), "COMITY_HOME": str(folder / "home")}


def comity(folder: Path, *words: str) -> str:
    """Run a command."""
    done = subprocess.run(
        [sys.executable, "-m", "comity", *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=ENDED_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def asking(tmp_path: Path) -> Path:
    """Return a folder whose store has a task that waits for nobody yet."""
    tmp_path.joinpath("agents.py").write_text(AGENT, encoding="utf-8")
    comity(tmp_path, "agents", "register", "agents.py")
    comity(tmp_path, "run", "agents.py:asker", "--goal", "the release", "--detach")
    return tmp_path


@contextlib.asynccontextmanager
async def operating(folder: Path, *words: str, **variables: str) -> AsyncIterator[Client]:
    """Start `comity mcp` as an agent's host does."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "comity", "mcp", *words],
        env={**environment(folder), **variables},
        cwd=folder,
    )
    with folder.joinpath("mcp.log").open("w", encoding="utf-8") as log:
        async with Client(stdio_client(parameters, errlog=log)) as client:
            yield client


@contextlib.contextmanager
def up(folder: Path) -> Iterator[dict[str, str]]:
    """Run a node; give the variables that lead to it."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "comity", "up", "--port", "0", "--announce-fd", str(writer), "--quiet"],
        cwd=folder,
        env=environment(folder),
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as announced:
            told = json.loads(announced.readline())
        yield {"COMITY_SERVER": told["url"], "COMITY_TOKEN": told["token"]}
    finally:
        process.kill()
        process.wait()


async def told(client: Client, tool: str, /, **args: Any) -> dict[str, Any]:
    """Return what a tool answers."""
    result = await client.call_tool(tool, args)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client, tool: str, /, **args: Any) -> str:
    """Return why a tool refuses."""
    result = await client.call_tool(tool, args)
    assert result.is_error, result.structured_content
    return "".join(block.text for block in result.content)


async def until_asked(client: Client) -> dict[str, Any]:
    """Return the first open question."""
    from comity.testing.waiting import wait_until

    async def look() -> Any:
        return (await told(client, "list_questions"))["questions"]

    return (await wait_until(look, ENDED_S, "a question"))[0]


async def operate(client: Client, *, has_node: bool) -> None:
    """Look at everything, and give every order."""
    (task,) = (await told(client, "list_tasks"))["tasks"]
    assert (await told(client, "list_tasks", state=["failed"]))["tasks"] == []
    assert (await told(client, "get_task", task=task["id"]))["goal"] == "the release"
    stopped = await told(client, "stop", scope="agent:other")
    assert (stopped["scope"], stopped["committed"]) == ("agent:other", True)
    assert [stop["scope"] for stop in (await told(client, "list_stops"))["stopped"]] == ["agent:other"]
    assert (await told(client, "get_stop", scope="agent:other"))["scope"] == "agent:other"
    assert (await told(client, "lift_stop", scope="agent:other"))["scope"] == "agent:other"
    assert "not_stopped" in await refused(client, "get_stop", scope="agent:other")
    assert "no_such_task" in await refused(client, "get_task", task=NO_TASK)
    assert "limit" in await refused(client, "list_tasks", limit=0)
    if has_node:
        question = await until_asked(client)
        asked = {"task": question["task"], "call": question["call"]}
        assert "not_an_option" in await refused(client, "answer_question", **asked, answer="perhaps")
        assert (await told(client, "answer_question", **asked, answer="yes"))["answer"] == "yes"
    else:
        assert (await told(client, "list_questions"))["questions"] == []
        assert (await told(client, "pause_task", task=task["id"]))["order"] == "pause"
        assert "not_parked" in await refused(client, "resume_task", task=task["id"])
        assert (await told(client, "cancel_task", task=task["id"]))["order"] == "cancel"


async def test_an_agent_operates_the_store_where_no_server_is_named(asking: Path) -> None:
    async with operating(asking) as client:
        await operate(client, has_node=False)


async def test_an_agent_operates_the_server_that_is_named(asking: Path) -> None:
    with up(asking) as variables:
        async with operating(asking, **variables) as client:
            await operate(client, has_node=True)


async def test_a_read_only_server_offers_no_orders(asking: Path) -> None:
    async with operating(asking, "--read-only") as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == list(LOOKING)
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
        assert "Unknown tool" in await refused(client, "stop", scope="fleet")
        assert (await told(client, "list_stops"))["stopped"] == []


async def test_an_agent_looks_at_the_world_and_claims(asking: Path) -> None:
    (asking / "world.yaml").write_text(WORLD, encoding="utf-8")
    comity(asking, "world", "apply", "world.yaml")
    async with operating(asking) as client:
        assert (await told(client, "get_world", fields=["db/*"]))["fields"][0]["field"] == "db/main.connections"
        made = await told(client, "claim", scope="db/main", for_s=60, mode="hands-off", reason="moving")
        change = await told(client, "announce", scope="service/web", for_s=60, reason="halved by hand")
        assert (made["is_change"], change["is_change"], change["mode"]) == (False, True, "leave-as-is")
        assert [item["id"] for item in (await told(client, "list_claims", field="db/main.state"))["claims"]] == [
            made["id"]
        ]
        assert (await told(client, "end_claim", claim=made["id"]))["scope"] == "db/main"
        assert (await told(client, "list_detectors"))["detectors"]
        assert (await told(client, "list_alarms"))["alarms"] == []
        assert (await told(client, "get_map"))["window"]["detail"] == "agents"
        assert (await told(client, "explain", of="db/main.state"))["asked"] == "db/main.state"
        touched = await told(client, "would_touch", tool="shed", args={"name": "main", "to": 3})
        assert touched["fields"][0]["field"] == "db/main.connections"
        assert "more than one kind" in await refused(client, "claim", scope="*", for_s=60)
    async with operating(asking, "--read-only") as client:
        assert "Unknown tool" in await refused(client, "claim", scope="db/main", for_s=60)


async def test_a_token_without_rights_gets_nothing(asking: Path) -> None:
    with up(asking) as variables:
        async with operating(asking, **{**variables, "COMITY_TOKEN": "co_wrong"}) as client:
            assert "token" in await refused(client, "list_tasks")
            assert "token" in await refused(client, "stop", scope="fleet")


def test_a_server_without_a_token_is_refused_with_a_hint(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "comity", "mcp", "--server", "http://127.0.0.1:9"],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ENDED_S,
        check=False,
    )
    assert done.returncode == 2
    assert "COMITY_TOKEN is not set" in done.stderr
    assert done.stdout == ""


def test_a_desk_has_every_tool_and_no_other() -> None:
    assert {name for name in vars(Desk) if not name.startswith("_")} == {*LOOKING, *ORDERING}
