"""Metrics: what is journaled here is counted, what stands is looked up, and no label holds a token or an id."""

from __future__ import annotations

from pathlib import Path

from comity.journal.budget import Cost
from comity.journal.call import Status
from comity.journal.entry import Outcome, Problem, entry
from http_stage import HttpStage, serving

UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def lines(stage: HttpStage) -> list[str]:
    answer = await stage.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text.splitlines()


async def test_operators_alone_see_metrics_unless_they_are_open(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        assert (await stage.client.get("/metrics", headers={"Authorization": ""})).status_code == 401
    async with serving(tmp_path, settings={"server.open_metrics": "true"}) as stage:
        assert (await stage.client.get("/metrics", headers={"Authorization": ""})).status_code == 200


async def test_calls_and_their_costs_are_counted_as_they_are_journaled(tmp_path: Path) -> None:
    outcomes = (
        ("model", Outcome(2, Status.DONE, cost=Cost(100, 20, 5_000))),
        ("model", Outcome(4, Status.FAILED, problem=Problem("model_busy", "busy"))),
        ("tool", Outcome(6, Status.UNKNOWN, problem=Problem("unknown", "cut off"))),
    )
    async with serving(tmp_path) as stage:
        for kind, body in outcomes:
            for told in stage.node.kernel.on_entry:
                told(b"", entry(7, "", kind, 1, body), body)
        found = await lines(stage)
        assert 'comity_calls_total{kind="model",status="done"} 1.0' in found
        assert 'comity_calls_total{kind="model",status="failed"} 1.0' in found
        assert 'comity_calls_total{kind="tool",status="unknown"} 1.0' in found
        assert 'comity_model_tokens_total{direction="in"} 100.0' in found
        assert 'comity_model_tokens_total{direction="out"} 20.0' in found
        assert "comity_model_cost_usd_total 0.005" in found
        assert 'comity_model_errors_total{code="model_busy"} 1.0' in found
        assert "comity_permits 0.0" in found
        assert "comity_watchers 0.0" in found


async def test_requests_are_measured_by_route_and_never_by_path(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        await stage.client.get(f"/api/v1/tasks/{UNKNOWN}")
        await stage.client.post("/t/ct_secret/v1/chat/completions", json={})
        await stage.client.get("/ct_secret")
        found = "\n".join(await lines(stage))
        counted = 'comity_http_request_seconds_count{method="GET",route="/api/v1/tasks/{task}",status="404"} 1.0'
        assert counted in found
        assert 'route="none"' in found
        assert UNKNOWN not in found
        assert "ct_secret" not in found
