"""Whether the process lives, and whether it may be sent work: without a token, and without a word too many."""

from __future__ import annotations

from pathlib import Path

from comity.core.errors import StoreError
from http_stage import HttpStage, serving

OPEN = {"Authorization": ""}


async def readiness(stage: HttpStage) -> tuple[int, str]:
    answer = await stage.client.get("/readyz", headers=OPEN)
    return answer.status_code, answer.json().get("code", "")


async def test_a_process_that_answers_lives(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        answer = await stage.client.get("/healthz", headers=OPEN)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_node_is_ready_while_it_holds_its_lease_and_does_not_drain(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        assert await readiness(stage) == (503, "no_lease")
        await stage.node.kernel.lease.register("host", 1, "")
        assert await readiness(stage) == (200, "")
        stage.server.is_draining.set()
        assert await readiness(stage) == (503, "draining")
        assert (await stage.client.get("/healthz")).status_code == 200


async def test_a_node_whose_store_is_away_is_not_ready(tmp_path: Path) -> None:
    async def away() -> int:
        raise StoreError("store_unreachable", "the store is away")

    async with serving(tmp_path) as stage:
        await stage.node.kernel.lease.register("host", 1, "")
        stage.node.store.now_us = away  # type: ignore[method-assign]
        assert await readiness(stage) == (503, "store_unreachable")
