"""Connections to MCP servers: what they learn of their tools, how they break, and how they are made again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from comity.core.codec import decode
from comity.hands.mcp import McpHand
from comity.journal.call import Call
from comity.journal.spec import ToolSpec
from comity.runtime.kept import KeptSettings
from comity.runtime.upstreams import Ways
from comity.testing.waiting import wait_until
from mcp_desk import KINDS, Desk, Register, desk, shown
from staging import CLOCK, new_task, permit


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_dies_ends_all_its_attempts_at_once_and_is_up_again_for_the_next(kind, tmp_path):
    async with desk(kind, tmp_path) as made:
        _, one = await made.under_way("hung", "hang")
        _, two = await made.under_way("waiting", "wait_for", file="never")
        died = await asyncio.wait_for(made.perform("crash"), 10)
        assert died.end == "unknown"
        for work in (one, two):
            assert (await asyncio.wait_for(work, 5)).end == "unknown"
        if made.serving is not None:
            await made.serving.start()
        assert shown(await made.perform("book", seats=1))["structuredContent"]["seats"] == 1
        assert made.marked("crashed") == ["x"], "nothing is sent twice"


async def test_a_status_says_that_nothing_was_done_or_says_nothing(tmp_path):
    async with desk("http", tmp_path) as made:
        for status, end, word in (
            (307, "failed", "redirect"),
            (401, "failed", "headers_env"),
            (403, "failed", "headers_env"),
            (404, "failed", "Not Found"),
            (500, "unknown", ""),
            (503, "unknown", ""),
            (200, "unknown", ""),
        ):
            (tmp_path / "status").write_text(str(status))
            attempt = await made.perform("book", seats=1)
            assert attempt.end == end, (status, attempt)
            assert word in attempt.error
        (tmp_path / "status").unlink()
        assert made.marked("booked") == []
        assert (await made.perform("book", seats=1)).end == "done", "the connection is none the worse"


async def test_a_server_of_an_earlier_era_that_forgot_the_session_is_asked_in_a_new_one(tmp_path):
    (tmp_path / "handshake").touch()
    async with desk("http", tmp_path) as made:
        assert made.hand._links["crm"]._live.session.protocol_version == "2025-11-25"
        assert (await made.perform("book", seats=1)).end == "done"
        await made.serving.start()
        assert (await made.perform("book", seats=2)).end == "done"
        assert made.marked("booked") == ["1 ", "2 "]
        mine, work = await made.under_way("hung", "hang")
        await made.hand.cancel(mine)
        assert (await work).end == "unknown"
        await wait_until(lambda: made.marked("cancelled"))


OLD = """
import json, sys
print("this is no message", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, answer = asked["method"], {}
    if method == "initialize":
        answer = {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}}
        answer["serverInfo"] = {"name": "old", "version": "0"}
    elif method == "tools/list":
        is_first = not asked.get("params", {}).get("cursor")
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("a", "b\\u0007", "c")]
        answer = {"tools": tools[:2], "nextCursor": "2"} if is_first else {"tools": tools[2:]}
    elif method == "tools/call":
        answer = {"content": [{"type": "text", "text": json.dumps(asked["params"])}], "unheardOf": 1}
    else:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "?"}}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answer}), flush=True)
"""


async def test_an_old_server_is_understood_its_noise_is_skipped_and_what_it_cannot_mean_left_out(tmp_path, caplog):
    (tmp_path / "old.py").write_text(OLD)
    async with desk("stdio", tmp_path, command=(sys.executable, "old.py")) as made:
        assert made.register.names == {"a", "c"}
        assert "wrote what is no message: this is no message" in caplog.text
        mine = permit(new_task())
        result = shown(await made.perform("a", mine, n=1.5))
        assert set(result) == {"content"}
        told = decode(result["content"][0]["text"].encode())
        assert (told["name"], told["arguments"]) == ("a", {"n": 1.5})
        assert told["_meta"]["comity/idempotency-key"] == mine.key


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (
            {"command": ("no-such-command",)},
            "the server `no-such-command` cannot be started: no such file or directory",
        ),
        ({"command": (sys.executable, "-c", "raise SystemExit(3)")}, "the server exited with code 3"),
        ({"command": ("sleep", "1000"), "connect_timeout_s": 0.2}, "not ready within 0.2 s"),
        ({"url": "http://127.0.0.1:1/mcp", "command": ()}, "All connection attempts failed"),
        ({"url": "http://127.0.0.1:1/", "command": (), "headers_env": {"A": "NO_SUCH"}}, "`NO_SUCH`, which is not set"),
    ],
)
async def test_a_server_that_cannot_be_reached_says_why(how, why, tmp_path):
    async with desk("stdio", tmp_path, **how) as made:
        attempt = await made.perform("book", seats=1)
        assert (attempt.end, attempt.code) == ("failed", "upstream_unreachable")
        assert why in attempt.error


async def test_a_server_that_is_slow_to_be_ready_is_waited_for_while_the_permit_lasts(tmp_path):
    source = "import time\ntime.sleep(1000)\n"
    async with desk("stdio", tmp_path, wait_s=0.0, command=(sys.executable, "-c", source)) as made:
        assert (await made.perform("book", permit(new_task(), seconds=0.2), seats=1)).end == "expired"


async def test_a_server_that_is_not_there_did_nothing_and_says_where(tmp_path):
    async with desk("http", tmp_path) as made:
        made.serving.kill()
        attempt = await made.perform("book", seats=1)
        assert (attempt.end, attempt.code) == ("failed", "upstream_unreachable")
        assert attempt.error.startswith("upstream `crm` cannot be reached: ")
        await made.serving.start()
        await wait_until(lambda: _books(made), 20)


async def _books(made: Desk) -> bool:
    return (await made.perform("book", seats=1)).end == "done"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_changes_its_tools_is_heard(kind, tmp_path):
    async with desk(kind, tmp_path) as made:
        assert "find" in made.register.names
        await made.perform("change")
        await wait_until(lambda: "extra" in made.register.names)
        assert "find" not in made.register.names


async def test_a_lease_that_runs_out_ends_what_runs_and_the_next_one_begins_anew(tmp_path):
    async with desk("stdio", tmp_path) as made:
        made.hand.told_lease(CLOCK.monotonic_s() + 100)
        _, work = await made.under_way("hung", "hang")
        made.hand.told_lease(CLOCK.monotonic_s() + 0.1)
        attempt = await asyncio.wait_for(work, 10)
        assert attempt.end == "unknown"
        assert (await made.perform("book", permit(new_task(), seconds=0.2), seats=1)).end == "expired"
        made.hand.told_lease(CLOCK.monotonic_s() + 100)
        assert (await made.perform("book", seats=1)).end == "done"


async def test_a_frozen_server_takes_no_call_that_its_permit_did_not_cover(tmp_path):
    async with desk("stdio", tmp_path) as made:
        pids = servers_in(tmp_path)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            filling = [asyncio.create_task(made.perform("book", seats=1, key="k" * 60_000)) for _ in range(3)]
            await wait_until(lambda: len(made.hand._running) == len(filling))
            late = await made.perform("book", permit(new_task(), seconds=0.3), seats=9)
            assert late.end == "expired"
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert {(await work).end for work in filling} == {"done"}
        assert [line.split()[0] for line in made.marked("booked")] == ["1", "1", "1"]


def servers_in(folder: Path) -> list[int]:
    """Return the servers of a test, without their keepers."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_mine = str(folder).encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if is_mine and b"stdio" in words and b"comity.runtime.keeper" not in words:
            found.append(int(process.name))
    return found


async def test_an_upstream_that_nobody_configured_is_told(tmp_path):
    hand = McpHand({}, Ways({}, KeptSettings(lambda *_: None, str(tmp_path))), Register(), CLOCK)
    call = Call("", "tool", "crm.book", 0, b"{}")
    attempt = await hand.perform(permit(new_task()), call, ToolSpec("crm.book", server="crm"), lambda *_: None)
    assert (attempt.end, attempt.code) == ("failed", "no_such_upstream")
