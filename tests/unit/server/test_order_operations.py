"""Orders over HTTP: what they do to tasks, and how what cannot be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comity.core.codec import decode
from comity.core.ids import parse_id
from http_stage import HttpStage, register_outside, serving

UNKNOWN = "01890000-0000-7000-8000-000000000000"
ORDERS: dict[str, dict[str, Any] | None] = {
    "cancel": None,
    "pause": None,
    "resume": {},
    "retry": {"how": "redo"},
    "fork": {"at": 1},
    "signal": {"name": "go"},
    "resolve": {"call": 1, "verdict": "again"},
    "adopt": {},
    "finish": {},
}


async def orders_to(stage: HttpStage, task: str) -> list[tuple[str, Any]]:
    """Return the name and value of each message in a task's inbox."""
    return [(item.name, decode(item.value)) for item in await stage.store.inbox(parse_id(task))]


async def visitor(stage: HttpStage) -> str:
    """Return the task of an outside agent."""
    await register_outside(stage.store)
    made = await stage.document("POST", "/tasks", 201, json={"agent": "visitor", "goal": "look"})
    return str(made["id"])


@pytest.mark.parametrize("order", ["cancel", "pause"])
async def test_an_order_reaches_the_inbox_of_its_task(tmp_path: Path, order: str) -> None:
    async with serving(tmp_path, goals=("ask",)) as stage:
        task = stage.tasks["ask"]
        answer = await stage.document("POST", f"/tasks/{task}/{order}", 202)
        assert answer == {"task": task, "order": order, "has_node": False}
        assert await orders_to(stage, task) == [(order, {"by": "supervisor"})]


async def test_resume_sets_limits_anew(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("doubt",)) as stage:
        task = stage.tasks["doubt"]
        await stage.document("POST", f"/tasks/{task}/resume", 202, json={"budget": {"usd": 2, "calls": {"model": 5}}})
        ((name, value),) = await orders_to(stage, task)
        assert (name, value["budget"]) == ("resume", {"usd_micro": 2_000_000, "calls": {"model": 5}})


async def test_a_failed_task_is_retried(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("fail",)) as stage:
        task = stage.tasks["fail"]
        await stage.document("POST", f"/tasks/{task}/retry", 202, json={"how": "rethink"})
        assert (await orders_to(stage, task))[0][1]["how"] == "rethink"


async def test_a_signal_with_a_key_is_sent_once(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("ask",)) as stage:
        task = stage.tasks["ask"]
        body = {"name": "approved", "value": {"by": "ada"}, "key": "k1"}
        for _ in range(2):
            await stage.document("POST", f"/tasks/{task}/signal", 202, json=body)
        assert await orders_to(stage, task) == [("approved", {"by": "ada"})]


async def test_a_doubt_is_resolved(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("doubt",)) as stage:
        task = stage.tasks["doubt"]
        (call,) = (await stage.document("GET", f"/tasks/{task}"))["in_doubt"]
        body = {"call": call, "verdict": "happened", "result": {"id": 1}, "note": "seen in the ledger"}
        await stage.document("POST", f"/tasks/{task}/resolve", 202, json=body)
        ((_, value),) = await orders_to(stage, task)
        assert (value["call"], value["verdict"], value["result"]) == (call, "happened", {"id": 1})
        body = {"call": call, "verdict": "again", "result": 1}
        await stage.refusal("POST", f"/tasks/{task}/resolve", 409, "not_happened_result", json=body)
        body = {"call": 999, "verdict": "again"}
        await stage.refusal("POST", f"/tasks/{task}/resolve", 409, "not_in_doubt", json=body)


async def test_what_a_live_fork_could_repeat_is_told_before(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("doubt",)) as stage:
        task = stage.tasks["doubt"]
        told = await stage.document("GET", f"/tasks/{task}/fork?has_goal=true")
        assert (told["origin"], told["at"]) == (task, 1)
        assert [line.partition(": ")[2] for line in told["could_happen_again"]] == ["breaks (irreversible)"]
        behind = (await stage.document("GET", f"/tasks/{task}"))["calls"][-1]["call"]
        assert (await stage.document("GET", f"/tasks/{task}/fork?at={behind}"))["could_happen_again"] == []
        await stage.refusal("GET", f"/tasks/{UNKNOWN}/fork", 404, "no_such_task")


async def test_a_task_is_forked(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done",)) as stage:
        task = stage.tasks["done"]
        made = await stage.document("POST", f"/tasks/{task}/fork", 201, json={"at": 1, "goal": "other"})
        assert (made["origin"], made["at"], made["is_live"], made["could_happen_again"]) == (task, 1, False, [])
        shown = await stage.document("GET", f"/tasks/{made['task']}")
        assert (shown["goal"], shown["forked_from"]) == ("other", task)
        found = await stage.document("GET", f"/tasks/{made['task']}/diff")
        assert (found["left"], found["right"]) == (task, made["task"])
        await stage.refusal("POST", f"/tasks/{task}/fork", 404, "no_such_entry", json={"at": 999})
        other = await stage.document("POST", f"/tasks/{task}/fork", 201, json={"goal": "other"})
        assert other["at"] == 1
        again = await stage.document("POST", f"/tasks/{task}/fork", 201, json={})
        last = (await stage.document("GET", f"/tasks/{task}"))["last_seq"]
        assert again["at"] == last - 1, "all but its end"
        body = {"at": 1, "goal": "x" * 1_100_000}
        await stage.refusal("POST", f"/tasks/{task}/fork", 413, "goal_too_large", json=body)


async def test_adoption_gives_a_token_and_the_urls_by_which_the_client_came(tmp_path: Path) -> None:
    async with serving(tmp_path, settings={"server.hosts": "comity.test", "server.behind_proxy": "true"}) as stage:
        task = await visitor(stage)
        headers = {"Host": "comity.test", "X-Forwarded-Proto": "https"}
        given = await stage.document("POST", f"/tasks/{task}/adopt", headers=headers)
        assert (given["task"], given["incarnation"]) == (task, 1)
        assert given["token"].startswith("ct_")
        assert given["urls"] == {
            "openai": "https://comity.test/v1",
            "anthropic": "https://comity.test",
            "mcp": "https://comity.test/mcp",
        }
        await stage.refusal("POST", f"/tasks/{task}/adopt", 409, "already_adopted")
        assert (await stage.document("POST", f"/tasks/{task}/adopt", json={"renew": True}))["incarnation"] == 2


async def test_nobody_but_a_proxy_says_that_a_client_came_by_tls(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        task = await visitor(stage)
        given = await stage.document("POST", f"/tasks/{task}/adopt", headers={"X-Forwarded-Proto": "https"})
        assert given["urls"]["mcp"] == f"{stage.server.url}/mcp"


async def test_a_program_ends_its_task_with_a_result_or_an_error(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        task = await visitor(stage)
        await stage.document("POST", f"/tasks/{task}/finish", 202, json={"result": {"rooms": 2}})
        await stage.document("POST", f"/tasks/{task}/finish", 202, json={"error": "no room"})
        assert [(value["result"], value["error"]) for _, value in await orders_to(stage, task)] == [
            ({"rooms": 2}, ""),
            (None, "no room"),
        ]
        body = {"result": 1, "error": "no room"}
        await stage.refusal("POST", f"/tasks/{task}/finish", 409, "result_and_error", json=body)


@pytest.mark.parametrize("order", ["adopt", "finish"])
async def test_a_task_that_comity_runs_itself_is_not_adopted_or_finished(tmp_path: Path, order: str) -> None:
    async with serving(tmp_path, goals=("ask",)) as stage:
        await stage.refusal("POST", f"/tasks/{stage.tasks['ask']}/{order}", 409, "not_outside", json={})


@pytest.mark.parametrize(
    ("order", "goal", "code"),
    [
        ("cancel", "done", "task_ended"),
        ("pause", "done", "task_ended"),
        ("signal", "done", "task_ended"),
        ("resume", "ask", "not_parked"),
        ("retry", "done", "not_failed"),
    ],
)
async def test_an_order_to_a_task_in_another_state_is_refused(tmp_path: Path, order: str, goal: str, code: str) -> None:
    async with serving(tmp_path, goals=(goal,)) as stage:
        body = ORDERS[order]
        more = {} if body is None else {"json": body}
        await stage.refusal("POST", f"/tasks/{stage.tasks[goal]}/{order}", 409, code, **more)


async def test_orders_to_a_task_that_is_not_there_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        for order, body in ORDERS.items():
            more = {} if body is None else {"json": body}
            await stage.refusal("POST", f"/tasks/{UNKNOWN}/{order}", 404, "no_such_task", **more)
            await stage.refusal("POST", f"/tasks/5f0c93ab/{order}", 404, "not_an_id", **more)


@pytest.mark.parametrize(
    ("order", "body"),
    [
        ("cancel", {"why": "because"}),
        ("retry", {"how": "again"}),
        ("retry", {}),
        ("resolve", {"call": 0, "verdict": "again"}),
        ("resolve", {"call": 1, "verdict": "maybe"}),
        ("fork", {"at": "1"}),
        ("signal", {"name": ""}),
        ("adopt", {"renew": "yes"}),
        ("finish", {"output": 1}),
    ],
)
async def test_an_order_that_does_not_fit_is_refused(tmp_path: Path, order: str, body: dict[str, Any]) -> None:
    async with serving(tmp_path, goals=("ask",)) as stage:
        await stage.refusal("POST", f"/tasks/{stage.tasks['ask']}/{order}", 400, "bad_body", json=body)
        assert await orders_to(stage, stage.tasks["ask"]) == []
