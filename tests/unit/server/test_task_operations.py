"""Tasks over HTTP: created once for a key, listed page by page, shown, told, compared."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from http_stage import register_outside, serving

UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def test_a_task_is_created_and_shown(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done",)) as stage:
        body = {"agent": "clerk", "goal": "refund", "budget": {"usd": 1.5, "calls": {"model": 3}}, "session": "ada"}
        made = await stage.document("POST", "/tasks", 201, json=body)
        shown = await stage.document("GET", f"/tasks/{made['id']}")
        assert made["state"] == "queued"
        assert made["session"] == "ada"
        assert shown["budget"] == {
            "tokens": None,
            "usd": 1.5,
            "calls": {"model": 3},
            "wall_s": None,
            "context_tokens": None,
        }


async def test_the_same_key_gives_the_same_task(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done",)) as stage:
        body, key = {"agent": "clerk", "goal": "refund"}, {"Idempotency-Key": "order-7"}
        first = await stage.document("POST", "/tasks", 201, json=body, headers=key)
        again = await stage.document("POST", "/tasks", 201, json=body, headers=key)
        other = await stage.document("POST", "/tasks", 201, json=body)
        assert first["id"] == again["id"] != other["id"]


async def test_a_key_that_made_another_task_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done",)) as stage:
        key = {"Idempotency-Key": "order-7"}
        await stage.document("POST", "/tasks", 201, json={"agent": "clerk", "goal": "refund"}, headers=key)
        other = {"agent": "clerk", "goal": "charge"}
        await stage.refusal("POST", "/tasks", 409, "key_reused", json=other, headers=key)
        assert len((await stage.document("GET", "/tasks"))["tasks"]) == 2


async def test_pages_of_tasks_follow_each_other(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done",)) as stage:
        made = [
            (await stage.document("POST", "/tasks", 201, json={"agent": "clerk", "goal": goal}))["id"]
            for goal in ("a", "b", "c")
        ]
        first = await stage.document("GET", "/tasks?limit=2&state=queued")
        assert [task["id"] for task in first["tasks"]] == [made[2], made[1]]
        assert first["has_more"]
        rest = await stage.document("GET", f"/tasks?limit=2&state=queued&before={made[1]}")
        assert [task["id"] for task in rest["tasks"]] == [made[0]]
        assert not rest["has_more"]


async def test_tasks_are_filtered(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done", "fail", "talk")) as stage:
        listed = await stage.document("GET", "/tasks?state=failed&state=parked")
        assert [task["goal"] for task in listed["tasks"]] == ["fail"]
        listed = await stage.document("GET", "/tasks?session=ada")
        assert [task["goal"] for task in listed["tasks"]] == ["talk"]
        assert (await stage.document("GET", "/tasks?agent=nobody"))["tasks"] == []


async def test_tasks_are_found_by_a_part_of_their_id(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done", "fail")) as stage:
        for task in stage.tasks.values():
            whole = task.replace("-", "")
            for part in (whole, whole[:20], whole[-8:]):
                found = await stage.document("GET", f"/tasks?part={part}")
                assert task in [item["id"] for item in found["tasks"]]
            assert len((await stage.document("GET", f"/tasks?part={whole[-8:]}"))["tasks"]) == 1
            assert (await stage.document("GET", f"/tasks?part={whole[-8:]}&state=cancelled"))["tasks"] == []
        assert (await stage.document("GET", f"/tasks?part={whole[:4]}&limit=1"))["has_more"]


async def test_a_task_is_shown_with_its_calls_and_all_of_its_result(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("long", "doubt")) as stage:
        shown = await stage.document("GET", f"/tasks/{stage.tasks['long']}")
        assert shown["result"] == "x" * 5000
        shown = await stage.document("GET", f"/tasks/{stage.tasks['doubt']}")
        assert shown["reason"] == "in_doubt"
        assert [call["name"] for call in shown["calls"] if call["call"] in shown["in_doubt"]] == ["breaks"]


async def test_a_journal_is_told_page_by_page(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done",)) as stage:
        path = f"/tasks/{stage.tasks['done']}/entries"
        first = await stage.document("GET", f"{path}?limit=2")
        assert [item["seq"] for item in first["entries"]] == [1, 2]
        assert first["has_more"]
        rest = await stage.document("GET", f"{path}?from=3")
        assert rest["entries"][0]["seq"] == 3
        assert rest["entries"][-1]["type"] == "ended"
        assert not rest["has_more"]


async def test_a_tree_holds_the_tasks_below(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done",)) as stage:
        tree = await stage.document("GET", f"/tasks/{stage.tasks['done']}/tree")
        assert (tree["task"]["id"], tree["children"]) == (stage.tasks["done"], [])


async def test_two_tasks_are_compared(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done", "long")) as stage:
        done, long = stage.tasks["done"], stage.tasks["long"]
        found = await stage.document("GET", f"/tasks/{done}/diff?other={long}")
        assert (found["left"], found["right"], found["differs"]) == (done, long, True)
        assert {"name": "goal", "left": "done", "right": "long"} in found["heads"]
        await stage.refusal("GET", f"/tasks/{done}/diff", 409, "not_a_fork")


@pytest.mark.parametrize("path", ["", "/entries", "/tree", "/diff"])
async def test_a_task_that_is_not_there_is_not_found(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as stage:
        await stage.refusal("GET", f"/tasks/{UNKNOWN}{path}", 404, "no_such_task")
        await stage.refusal("GET", f"/tasks/nonsense{path}", 404, "not_an_id")


@pytest.mark.parametrize(
    ("body", "status", "code", "detail"),
    [
        (b"", 400, "bad_body", "missing required field `agent`"),
        (b"{", 400, "not_json", "body"),
        (b'{"agent": "clerk", "agent": "clerk", "goal": 1}', 400, "not_json", "duplicate key `agent`"),
        (b'{"agent": "clerk", "goal": NaN}', 400, "not_json", "`NaN` is not a JSON number"),
        (b'{"agent": "clerk", "goal": 1, "gaol": 1}', 400, "bad_body", "unknown field `gaol`"),
        (b'{"agent": "clerk", "goal": 1, "budget": {"usd": -1}}', 400, "bad_body", "$.budget.usd"),
        (b'{"agent": "clerk", "goal": 1, "budget": {"calls": {"magic": 1}}}', 400, "bad_body", "budget.calls"),
        (b'{"agent": 7, "goal": 1}', 400, "bad_body", "$.agent"),
        (b'{"agent": "nobody", "goal": 1}', 404, "no_such_agent", "`nobody`"),
        (b'{"agent": "clerk", "goal": 1, "tools": ["rm"]}', 409, "not_declared", "`rm`"),
        (b'{"agent": "clerk", "goal": 1, "limit_key": "k"}', 404, "no_such_limit", "`k`"),
    ],
)
async def test_a_task_that_cannot_be_created_says_why(
    tmp_path: Path, body: bytes, status: int, code: str, detail: str
) -> None:
    async with serving(tmp_path, goals=("done",)) as stage:
        headers = {"Content-Type": "application/json"}
        problem = await stage.refusal("POST", "/tasks", status, code, content=body, headers=headers)
        assert detail in problem["detail"]
        assert problem["hint"]
        assert len((await stage.document("GET", "/tasks"))["tasks"]) == 1


async def test_a_body_above_the_limit_is_refused_announced_or_not(tmp_path: Path) -> None:
    async def pieces():
        for _ in range(5):
            yield b" " * 50

    async with serving(tmp_path, settings={"server.body_bytes_max": "200"}) as stage:
        body = {"agent": "clerk", "goal": "x" * 200}
        await stage.refusal("POST", "/tasks", 413, "body_too_large", json=body)
        headers = {"Content-Type": "application/json"}
        await stage.refusal("POST", "/tasks", 413, "body_too_large", content=pieces(), headers=headers)
        await stage.refusal("POST", "/tasks", 404, "no_such_agent", json={"agent": "clerk", "goal": "x" * 100})


async def test_a_body_that_is_announced_as_too_large_is_refused_before_it_comes(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.client.base_url.port)
        head = f"POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {stage.token}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n".encode())
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 413 ")
        writer.close()
        await writer.wait_closed()


async def test_a_body_of_another_type_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        await stage.refusal("POST", "/tasks", 415, "not_json_body", data={"agent": "clerk"})


@pytest.mark.parametrize("query", ["limit=0", "limit=many", "limit=1&limit=2", "before=7", "colour=red", "state=gone"])
async def test_a_query_that_does_not_fit_is_refused(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path) as stage:
        await stage.refusal("GET", f"/tasks?{query}", 400, "bad_query")


async def test_a_wrong_method_is_told_which_are_right(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        problem = await stage.refusal("PUT", "/tasks", 405, "bad_method")
        assert "POST" in problem["hint"]


async def test_a_path_that_is_not_there_is_not_found_and_shows_no_token(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        problem = await stage.refusal("GET", f"/{stage.token}", 404, "no_such_path")
        assert stage.token not in problem["detail"]


async def test_an_outside_agents_task_is_created_like_any(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        await register_outside(stage.store)
        made = await stage.document("POST", "/tasks", 201, json={"agent": "visitor", "goal": "look around"})
        assert (made["agent"], made["agent_version"]) == ("visitor", "1")
