"""Every command that asks the API answers the same on the store and by a server: words, document, exit code."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from both_ways import Both, serving
from comity.cli.api_server import ServerApi
from comity.cli.exits import Exit
from comity.core.ids import show_id
from comity.journal.call import Kind
from comity.journal.entry import Ended, entry
from comity.journal.task import State
from comity.journal.unit import Transition, Unit
from comity.server.client import ApiClient
from comity.testing.waiting import wait_until
from contract.world import World, append, subject
from watching import Serving

BOOK = """
from comity import tool


@tool(effect="irreversible", once=["seat"])
def book(seat: str) -> str:
    \"\"\"Book a seat.\"\"\"
    return seat
"""
ASKED = [
    "tasks ls",
    "tasks ls --state parked --state waiting",
    "tasks ls --agent nobody",
    "tasks ls --session ada --limit 1",
    "tasks ls --limit 2",
    "tasks show {done}",
    "tasks show {dear}",
    "tasks show {doubt}",
    "tasks show {ask}",
    "tasks show {fail}",
    "tasks tail {done}",
    "tasks tail {doubt} --from 3",
    "tasks tail {done} -f",
    "tasks diff {done} {dear}",
    "tasks diff {done} {done}",
    "sessions ls",
    "sessions ls --tenant nobody",
    "sessions show ada",
    "sessions show ada --last 1",
    "questions ls",
    "agents ls",
    "tools ls",
    "stop --list",
]
ORDERED = [
    "tasks cancel {ask}",
    "tasks pause {ask}",
    "tasks resume {doubt} --budget usd=2,calls.irreversible=3",
    "tasks retry {fail} --redo",
    "tasks resolve {doubt} 3 --happened --result 7 --note looked",
    "tasks resolve {doubt} 3 --not-happened",
    "tasks signal {ask} approved 7 --key once",
    "tasks fork {done}",
    "tasks fork {done} --at 2",
    "tasks fork {done} --goal dear",
    "tasks fork {done} --at 2 --live --yes",
    "questions answer {ask} yes",
    "stop agent:clerk",
    "stop task:{ask} --no-wait",
    "stop session:a/b",
]
REFUSED = [
    "tasks show 00000000-0000-7000-8000-000000000000",
    "tasks show ffffffff",
    "tasks show x",
    "tasks tail 00000000-0000-7000-8000-000000000000",
    "tasks tail 00000000-0000-7000-8000-000000000000 -f",
    "tasks cancel {done}",
    "tasks resume {done}",
    "tasks resume {doubt} --budget wall_s=0",
    "tasks retry {done} --redo",
    "tasks resolve {doubt} 99 --again",
    "tasks signal {done} go",
    "tasks diff {done}",
    "tasks fork {done} --at 99",
    "tasks fork {done} --at 2 --live",
    "questions answer {ask} maybe",
    "questions answer {done} yes",
    "sessions show bob",
    "sessions show ada/b",
    "stop planet",
    "stop task:ffffffff",
    "stop agent:clerk --lift",
]


@pytest.fixture
def both(comity: Any, tasks: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    shutil.copytree(folder / "home", folder / "served")
    found = Both(comity, tasks, folder, monkeypatch)
    with serving(folder / "served") as found.server:
        yield found


def test_what_is_asked_is_answered_the_same_both_ways(both: Both) -> None:
    for line in ASKED:
        code, stdout, _ = both.same(line)
        assert code in (Exit.OK, Exit.FAILED)
        assert stdout
        if " -f" not in line:
            json.loads(both.same(line, "--json")[1])


def test_what_is_ordered_is_answered_the_same_both_ways(both: Both) -> None:
    for line in ORDERED:
        code, stdout, _ = both.same(line)
        assert (code, bool(stdout)) == (Exit.OK, True), line
        if not line.startswith(("questions answer", "tasks retry")):
            assert json.loads(both.same(line, "--json")[1])


@pytest.mark.parametrize("lines", [REFUSED[::2], REFUSED[1::2]])
def test_what_is_refused_is_refused_the_same_both_ways(both: Both, lines: list[str]) -> None:
    for line in lines:
        code, stdout, stderr = both.same(line)
        assert code in (Exit.USAGE, Exit.NOT_FOUND), line
        assert stdout == ""
        assert "error: " in stderr


def test_tools_are_listed_and_shown_the_same_both_ways(
    comity: Any, tasks: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "book.py"
    file.write_text(BOOK, encoding="utf-8")
    monkeypatch.setenv("COMITY_SERVER__TOOL_FILES", json.dumps([str(file)]))
    both = Both(comity, tasks, folder, monkeypatch)
    shutil.copytree(folder / "home", folder / "served")
    with serving(folder / "served", COMITY_SERVER__TOOL_FILES=json.dumps([str(file)])) as both.server:
        assert "book" in both.same("tools ls")[1]
        both.same("tools show book", "--json")
        assert both.same("tools accept book")[0] == Exit.NOT_FOUND
        assert both.same("tools show nothing")[0] == Exit.NOT_FOUND


def test_stops_are_listed_and_lifted_the_same_both_ways(both: Both) -> None:
    both.same("stop agent:clerk")
    assert "agent:clerk" in both.same("stop --list")[1]
    both.same("tasks show {doubt}")
    both.same("stop agent:clerk --lift", "--json")
    assert "nothing is stopped" in both.same("stop --list")[1]


def test_pages_follow_each_other_the_same_both_ways(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comity.cli.api.PAGE", 2)
    assert len(json.loads(both.same("tasks ls --limit 5", "--json")[1])["tasks"]) == 5
    assert json.loads(both.same("tasks ls --limit 4", "--json")[1])["has_more"]
    entries = json.loads(both.same("tasks tail {done}", "--json")[1])["entries"]
    assert [item["seq"] for item in entries] == list(range(1, len(entries) + 1))


def test_a_store_that_is_named_goes_before_a_server_from_the_environment(both: Both) -> None:
    store = f"sqlite:///{both.folder / 'home' / 'comity.db'}"
    both.run("tasks cancel {ask}", by_server=True)
    result = both.run("stop --list", "--store", store, by_server=True)
    assert result[0] == Exit.OK
    code, _, stderr = both.run("tasks ls", "--store", store, "--server", "http://127.0.0.1:1", by_server=False)
    assert (code, "two places" in stderr) == (Exit.USAGE, True)


def test_completion_asks_the_server_too(both: Both) -> None:
    with both.monkeypatch.context() as patch:
        patch.setenv("COMITY_HOME", str(both.folder / "nowhere"))
        for name, value in both.server.items():
            patch.setenv(name, value)
        patch.setenv("_COMITY_COMPLETE", "bash_complete")
        patch.setenv("COMP_WORDS", "comity tasks show ")
        patch.setenv("COMP_CWORD", "3")
        shown = both.comity().stdout
    assert all(task[-8:] in shown for task in both.tasks.values())


@pytest.mark.parametrize(
    ("environment", "words", "code", "error"),
    [
        ({}, ["--server", "http://127.0.0.1:1"], Exit.USAGE, "COMITY_TOKEN is not set"),
        ({"COMITY_TOKEN": "co_x"}, ["--server", "http://127.0.0.1:1"], Exit.STORE, "no server answers"),
        ({"COMITY_TOKEN": "co_x"}, ["--server", "planet"], Exit.USAGE, "is not the URL of a server"),
        ({"COMITY_TOKEN": "co_x", "COMITY_SERVER": "http://127.0.0.1:1"}, [], Exit.STORE, "no server answers"),
        ({"COMITY_TOKEN": "co_x"}, ["--server", "http://example.com"], Exit.USAGE, "in the clear"),
    ],
)
def test_a_server_that_cannot_be_asked_is_told(
    comity: Any, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: list[str], code: Exit, error: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = comity("tasks", "ls", *words)
    assert (result.exit_code, error in result.stderr) == (code, True), result.stderr


def test_a_wrong_token_is_told(both: Both) -> None:
    both.server["COMITY_TOKEN"] = "co_wrong"
    code, _, stderr = both.run("tasks ls", by_server=True)
    assert (code, "the token is none of this server" in stderr) == (Exit.USAGE, True)


async def test_a_task_is_followed_through_the_end_of_its_server() -> None:
    """What the first server told is not told again by the one that takes its place at the same address."""
    world = World("memory", Path())
    task = (await world.held("a", entries=3)).id
    serving = Serving(world.store)
    seen: list[int] = []
    saw = seen.append

    async def follow(api: ServerApi) -> None:
        async for item in api.follow(show_id(task)):
            saw(item.seq)

    async with serving:
        client = ApiClient(serving.url, serving.token)
        following = asyncio.ensure_future(follow(ServerApi(client, lambda: None)))
        await wait_until(lambda: seen == [1, 2, 3])
    await world.commit(append(await world.row(task), 2))
    async with serving:
        await wait_until(lambda: seen == [1, 2, 3, 4, 5])
        row = await world.row(task)
        entries = (entry(6, "", Kind.TASK, 1, Ended("succeeded")),)
        await world.commit(Unit(subject(row), entries=entries, transition=Transition(State.SUCCEEDED)))
        await asyncio.wait_for(following, 20)
        await client.close()
    assert seen == [1, 2, 3, 4, 5, 6]
