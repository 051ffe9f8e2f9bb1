"""The shared world over HTTP: the file in force, observations, reservations, claims and plans."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comity.core.ids import parse_id
from comity.gateway.tokens import TaskTokens
from comity.kernel.outside import INCARNATION, incarnation_key
from comity.runtime.orders import Orders
from comity.runtime.programs import StoredPrograms
from http_stage import HttpStage, register_outside, serving
from world_stage import WORLD


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[HttpStage]:
    """Serve a node with the world in force."""
    async with serving(folder) as stage:
        await stage.document("PUT", "/world", json={"text": WORLD})
        yield stage


async def program(stage: HttpStage, agent: str) -> dict[str, str]:
    """Return the headers of a program of `agent`, which is an outside one, and has a task."""
    node = stage.node
    await register_outside(stage.store, agent)
    found = await StoredPrograms(stage.store).find(agent)
    assert found is not None
    orders = Orders(stage.store, node.clock, node.entropy)
    task = await orders.create(found, agent, "look")
    incarnation = await orders.adopt(task)
    tokens = await TaskTokens.of_store(stage.store, node.entropy)
    row = await stage.store.state(INCARNATION, incarnation_key(task))
    assert row is not None
    assert row.version == incarnation
    return {"Authorization": f"Bearer {tokens.mint(task, incarnation)}"}


async def test_without_a_world_everything_about_it_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        for path in ("/world", "/world/reservations", "/detectors", "/detectors/baseline", "/alarms", "/map"):
            problem = await stage.refusal("GET", path, 404, "no_world")
            assert "comity world apply" in problem["hint"]
        claim = {"scope": "db/main", "for_s": 60}
        await stage.refusal("POST", "/claims", 404, "no_world", json=claim)
        seen = {"observations": [{"field": "db/main.state", "value": "up"}]}
        await stage.refusal("POST", "/world/observations", 404, "no_world", json=seen)
        assert await stage.document("GET", "/claims") == {"claims": [], "has_more": False}


async def test_a_world_file_is_put_in_force_and_shown(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        made = await stage.document("PUT", "/world", json={"text": WORLD})
        again = await stage.document("PUT", "/world", json={"text": WORLD})
        assert (made["version"], again["version"], made["name"], made["applied_by"]) == (1, 1, "shop", "supervisor")
        shown = await stage.document("GET", "/world")
        assert shown == again
        values = {item["field"]: item["value"] for item in shown["fields"]}
        assert values == {"service/web.instances": 3, "db/main.connections": 30, "db/main.state": "up"}
        assert all(item["observed_at"] is None for item in shown["fields"])
        assert shown["document"]["invariants"]["enough"]["holds"] == "c <= 80"


async def test_fields_are_chosen_by_pattern_and_come_in_pages(tmp_path: Path) -> None:
    async with world(tmp_path) as stage:
        first = await stage.document("GET", "/world?limit=2")
        rest = await stage.document("GET", f"/world?limit=2&after={first['fields'][-1]['field']}")
        assert (len(first["fields"]), first["has_more"], len(rest["fields"]), rest["has_more"]) == (2, True, 1, False)
        found = await stage.document("GET", "/world?field=db/*&field=nothing/*")
        assert [item["field"] for item in found["fields"]] == ["db/main.connections", "db/main.state"]
        problem = await stage.refusal("GET", "/world?field=db/main.size", 404, "unknown_field")
        assert "connections" in problem["hint"]


async def test_a_world_file_with_a_mistake_is_refused_and_checked_with_its_lines(tmp_path: Path) -> None:
    async with world(tmp_path) as stage:
        text = WORLD.replace("type: integer", "type: intger", 1)
        problem = await stage.refusal("PUT", "/world", 422, "bad_world", json={"text": text, "name": "shop.yaml"})
        assert problem["detail"].startswith("shop.yaml:7: ")
        found = await stage.document("POST", "/world/check", json={"text": text})
        assert not found["is_valid"]
        assert found["problems"][0]["line"] == 7
        assert (await stage.document("POST", "/world/check", json={"text": WORLD}))["is_valid"]
        assert (await stage.document("GET", "/world"))["version"] == 1


async def test_an_observation_counts_by_whose_it_is(tmp_path: Path) -> None:
    async with world(tmp_path) as stage:
        both = [{"field": "db/main.connections", "value": 41}, {"field": "service/web.instances", "value": 9}]
        taken = await stage.document("POST", "/world/observations", json={"observations": both})
        assert (taken["by"], [item["taken"] for item in taken["observations"]]) == (
            "operator",
            ["observed", "proposed"],
        )
        assert "authority.observe" in taken["observations"][1]["why"]
        fields = {item["field"]: item for item in (await stage.document("GET", "/world"))["fields"]}
        seen, said = fields["db/main.connections"], fields["service/web.instances"]
        assert (seen["value"], seen["observed_by"], seen["version"]) == (41, "operator", 1)
        assert (said["value"], said["proposed"], said["observed_at"]) == (3, 9, None)


async def test_programs_observe_as_their_agent(tmp_path: Path) -> None:
    async with world(tmp_path) as stage:
        body = {"observations": [{"field": "DB/Main.State", "value": "down"}]}
        taken = {}
        for agent in ("probe", "clerk"):
            headers = await program(stage, agent)
            found = await stage.document("POST", "/world/observations", json=body, headers=headers)
            taken[found["by"]] = found["observations"][0]["taken"]
        assert taken == {"agent:probe": "observed", "agent:clerk": "proposed"}


@pytest.mark.parametrize(
    ("item", "status", "code"),
    [
        ({"field": "db/main.size", "value": 1}, 404, "unknown_field"),
        ({"field": "db main", "value": 1}, 404, "unknown_field"),
        ({"field": "db/main.connections", "value": "many"}, 409, "bad_value"),
        ({"field": "db/main.connections", "value": 1.5}, 409, "bad_value"),
        ({"field": "db/main.state", "value": "sideways"}, 409, "bad_value"),
        ({"field": "db/main.state", "value": "up", "at": "2999-01-01T00:00:00Z"}, 409, "in_the_future"),
        ({"field": "db/main.state", "value": "up", "at": "2999-01-01T00:00:00"}, 400, "bad_body"),
        ({"field": "db/main.state"}, 400, "bad_body"),
        ({"field": "db/main.state", "value": {"is": "up"}}, 400, "bad_body"),
    ],
)
async def test_one_bad_observation_refuses_all(tmp_path: Path, item: dict[str, object], status: int, code: str) -> None:
    async with world(tmp_path) as stage:
        body = {"observations": [{"field": "db/main.connections", "value": 55}, item]}
        problem = await stage.refusal("POST", "/world/observations", status, code, json=body)
        assert "observation 2" in problem["detail"] or code == "bad_body"
        (field,) = (await stage.document("GET", "/world?field=db/main.connections"))["fields"]
        assert field["value"] == 30


async def test_an_observation_out_of_order_or_twice_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as stage:
        for value, at, taken in ((40, "02:17:05", "observed"), (40, "02:17:05", "older"), (99, "02:17:01", "older")):
            item = {"field": "db/main.connections", "value": value, "at": f"2026-01-01T{at}Z"}
            found = await stage.document("POST", "/world/observations", json={"observations": [item]})
            assert found["observations"][0]["taken"] == taken
        (field,) = (await stage.document("GET", "/world?field=db/main.connections"))["fields"]
        assert (field["value"], field["version"]) == (40, 1)


async def test_a_claim_is_made_listed_and_ended(tmp_path: Path) -> None:
    async with world(tmp_path) as stage:
        body = {"scope": "DB/main", "mode": "leave-as-is", "reason": "moving house", "for_s": 7200}
        made = await stage.document("POST", "/claims", 201, json=body)
        assert (made["scope"], made["owner"], made["rank"]) == ("db/main", "operator:supervisor", "operator")
        assert (await stage.document("GET", "/claims"))["claims"] == [made]
        assert (await stage.document("GET", "/claims?field=db/main.state"))["claims"] == [made]
        assert (await stage.document("GET", "/claims?field=service/web.instances"))["claims"] == []
        ended = await stage.document("DELETE", f"/claims/{made['id']}")
        assert ended["id"] == made["id"]
        assert (await stage.document("GET", "/claims"))["claims"] == []
        await stage.refusal("DELETE", f"/claims/{made['id']}", 404, "no_such_claim")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"scope": "*", "for_s": 60}, 409, "claim_too_broad"),
        ({"scope": "db/*", "for_s": 1e9}, 409, "claim_too_long"),
        ({"scope": "boat/*", "for_s": 60}, 404, "unknown_scope"),
        ({"scope": "db/*", "for_s": 0}, 400, "bad_body"),
        ({"scope": "db/*"}, 400, "bad_body"),
        ({"scope": "db/*", "for_s": 60, "mode": "mine"}, 400, "bad_body"),
        ({"scope": "db/*", "for_s": 60, "is_change": True, "since": "2999-01-01T00:00:00Z"}, 409, "in_the_future"),
    ],
)
async def test_a_claim_on_too_much_is_refused(tmp_path: Path, body: dict[str, object], status: int, code: str) -> None:
    async with world(tmp_path) as stage:
        problem = await stage.refusal("POST", "/claims", status, code, json=body)
        assert problem["hint"]


async def test_programs_claim_as_their_agent_and_see_their_own(tmp_path: Path) -> None:
    async with world(tmp_path) as stage:
        theirs = await stage.document("POST", "/claims", 201, json={"scope": "db/main", "for_s": 60, "id": "moving"})
        clerk, planner = await program(stage, "clerk"), await program(stage, "planner")
        body = {"scope": "service/web", "for_s": 60, "mode": "shared"}
        made = await stage.document("POST", "/claims", 201, json=body, headers=clerk)
        assert (made["owner"], made["rank"]) == ("agent:clerk", "agent")
        assert parse_id(made["task"])
        assert (await stage.document("GET", "/claims", headers=clerk))["claims"] == [made]
        named = await stage.document("POST", "/claims", 201, json=body, headers=planner)
        assert named["rank"] == "operator"
        await stage.refusal("DELETE", f"/claims/{theirs['id']}", 403, "may_not_end", headers=clerk)
        again = {**body, "id": "moving"}
        await stage.refusal("POST", "/claims", 403, "may_not_end", json=again, headers=clerk)
        await stage.refusal("GET", "/world", 403, "not_yours", headers=clerk)
        await stage.document("DELETE", f"/claims/{made['id']}", headers=clerk)


async def test_a_plan_is_issued_by_whoever_may(tmp_path: Path) -> None:
    async with world(tmp_path) as stage:
        body = {"id": "autumn", "scope": "service/*", "for_s": 3600, "steps": 4, "agent": "clerk"}
        made = await stage.document("POST", "/plans", 201, json=body)
        assert (made["issued_by"], made["agent"]) == ("operator:supervisor", "clerk")
        assert (await stage.document("GET", "/plans"))["plans"] == [made]
        await stage.refusal("POST", "/plans", 409, "plan_exists", json=body)
        await stage.refusal("POST", "/plans", 400, "bad_body", json={**body, "steps": 0})
        clerk, planner = await program(stage, "clerk"), await program(stage, "planner")
        await stage.refusal("POST", "/plans", 403, "may_not_plan", json={**body, "id": "mine"}, headers=clerk)
        own = await stage.document("POST", "/plans", 201, json={**body, "id": "winter"}, headers=planner)
        assert own["issued_by"] == "agent:planner"
