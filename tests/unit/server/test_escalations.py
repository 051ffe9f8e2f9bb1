"""A call that a rule of the world escalates: asked with the questions, and answered there."""

from __future__ import annotations

from pathlib import Path

import pytest

from comity.coordination.loading import read_world
from comity.core.ids import parse_id
from comity.journal.program import load
from comity.journal.task import State
from comity.kernel import Settings
from comity.runtime.coordination import rows
from comity.runtime.embedded import Embedded
from comity.runtime.programs import register
from comity.stores.open import open_store
from comity.testing.waiting import wait_until
from http_stage import serving
from world_stage import AGENTS, WORLD

ASKING = WORLD.replace('holds: "c <= 80", mode: enforce', 'holds: "c <= 20", mode: enforce, severity: escalate')


async def escalated(folder: Path) -> str:
    """Leave a task in a store, which waits until a person lets its call pass."""
    (folder / "agents.py").write_text(AGENTS, encoding="utf-8")
    loaded = load(folder / "agents.py")
    (folder / "home").mkdir(mode=0o700)
    store = open_store(f"sqlite:///{folder / 'home' / 'comity.db'}")
    await store.open()
    try:
        await register(store, loaded.program)
        world = read_world(ASKING.replace("connections: 30", "connections: 10")).document
        async with Embedded(loaded, store, settings=Settings(linger_s=0.0), world=world) as node:
            task = await node.create("shedder", 1)

            async def waits() -> bool:
                return (await node.orders.row(task)).state is State.WAITING

            await wait_until(waits)
    finally:
        await store.close()
    from comity.core.ids import show_id

    return show_id(task)


@pytest.mark.parametrize("word", ["allow", "refuse"])
async def test_it_is_asked_with_the_questions_and_answered(tmp_path: Path, word: str) -> None:
    task = await escalated(tmp_path)
    async with serving(tmp_path) as stage:
        (asked,) = (await stage.document("GET", "/questions"))["questions"]
        assert (asked["task"], asked["agent"], asked["kind"]) == (task, "shedder", "admission")
        assert asked["options"] == ["allow", "refuse"]
        assert 'shed(name="main", to=25)' in asked["question"]
        assert "enough" in asked["question"]
        path = f"/questions/{task}/{asked['call']}"
        await stage.refusal("POST", path, 409, "not_an_option", json={"answer": "yes"})
        await stage.refusal("POST", f"/questions/{task}/99", 404, "not_asked", json={"answer": word})
        await stage.document("POST", path, 202, json={"answer": word})
        assert (await stage.document("GET", "/questions"))["questions"] == []
        await stage.refusal("POST", path, 404, "not_asked", json={"answer": word})
        (row,) = await stage.store.states(rows.ESCALATION)
        held = rows.read_escalation(row)
        assert (held.answer, held.by) == (word, "supervisor")
        assert len(await stage.store.inbox(parse_id(task))) == 1
