"""Agents claim, release and observe by calls of their own, and tools say themselves what they touch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from comity.coordination.loading import read_world
from comity.core.codec import canonical, decode
from comity.core.errors import ComityError
from comity.core.ids import show_id
from comity.journal.budget import Budget, Grant, Usage
from comity.journal.call import Call, Kind, Permit
from comity.journal.entry import Outcome
from comity.journal.ports import View
from comity.journal.program import load
from comity.journal.world import Claim
from comity.kernel import Settings
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.embedded import Embedded
from comity.runtime.programs import StoredPrograms, register
from comity.stores.open import open_store
from comity.testing.waiting import wait_until
from world_stage import AGENTS, WORLD

CLAIMING = (
    AGENTS
    + '''

@agent(tools=[])
async def planner(context: Context) -> list:
    """Do what the goal says."""
    told = []
    for what, *given in context.goal:
        try:
            if what == "claim":
                held = await context.claim(given[0], given[1], for_s=given[2], reason="why not")
                told.append([held.scope, held.mode])
            elif what == "release":
                await context.release(held if given == [] else given[0])
                told.append("released")
            elif what == "observe":
                told.append(await context.observe(*given))
            elif what == "wait":
                await context.wait_signal("go")
            else:
                told.append(await context.act(what, **given[0]))
        except comity.ComityError as error:
            told.append(error.code)
    return told


@agent(tools=[drain])
async def probe(context: Context) -> object:
    """Observe."""
    if context.goal == "drain":
        return await context.act(drain, name="main")
    return await context.observe("db/main.connections", context.goal)
'''
)


@asynccontextmanager
async def node(folder: Path, world: str = WORLD) -> AsyncIterator[Embedded]:
    """Run a node over a store of its own, with a world in force where there is one."""
    file = folder / "agents.py"
    file.write_text(CLAIMING, encoding="utf-8")
    loaded = load(file)
    store = open_store(f"sqlite:///{folder / 'comity.db'}")
    await store.open()
    try:
        await register(store, loaded.program)
        document = read_world(world).document if world else None
        async with Embedded(loaded, store, settings=Settings(linger_s=0.0), world=document) as made:
            yield made
    finally:
        await store.close()


async def told(here: Embedded, *goal: Any) -> Any:
    """Return what a planner was told."""
    return await here.result(await here.create("planner", list(goal)))


async def test_a_claim_is_held_until_it_is_released(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        task = await here.create("planner", [["claim", "Service/web", "up-only", 60], ["wait"], ["release"]])
        desk = WorldDesk(here.store, here.clock)

        async def claims() -> list[Claim]:
            return await desk.claims()

        await wait_until(claims)
        (held,) = await claims()
        assert (held.owner, held.scope, held.mode, held.rank) == ("agent:planner", "service/web", "up-only", "operator")
        assert (held.task, held.reason) == (show_id(task), "why not")
        await here.orders.signal(task, "go")
        assert await here.result(task) == [["service/web", "up-only"], "released"]
        assert await claims() == []


async def test_a_claim_ends_with_its_task(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        assert await told(here, ["claim", "db/main", "exclusive", 60]) == [["db/main", "exclusive"]]
        desk = WorldDesk(here.store, here.clock)

        async def are_gone() -> bool:
            return await desk.claims() == []

        await wait_until(are_gone)


async def test_a_claim_holds_others_back(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        holding = await here.create("planner", [["claim", "db/main", "hands-off", 60], ["wait"]])
        desk = WorldDesk(here.store, here.clock)
        await wait_until(desk.claims)
        shedding = await here.create("shedder", 1)

        async def is_held_back() -> bool:
            return (await here.orders.row(shedding)).state in ("waiting", "failed")

        await wait_until(is_held_back)
        await here.orders.signal(holding, "go")
        await here.result(holding)


@pytest.mark.parametrize(
    ("goal", "code"),
    [
        (["claim", "*", "exclusive", 60], "claim_too_broad"),
        (["claim", "db/main", "exclusive", 1e9], "claim_too_long"),
        (["claim", "db/main", "mine", 60], "bad_arguments"),
        (["claim", "boat/x", "exclusive", 60], "unknown_scope"),
        (["claim", "db/main", "exclusive", -1], "claim_over"),
        (["release", "moving"], "not_yours"),
        (["observe", "db/main.size", 1], "unknown_field"),
        (["observe", "db/main.connections", "many"], "bad_value"),
        (["observe", "db/main.connections", {"a": 1}], "bad_arguments"),
    ],
)
async def test_what_cannot_be_is_told_to_the_agent(tmp_path: Path, goal: list[Any], code: str) -> None:
    async with node(tmp_path) as here:
        desk = WorldDesk(here.store, here.clock, "ann")
        now_us = here.clock.wall_us()
        await desk.claim(Claim("moving", "service/x", "shared", "operator:ann", now_us, now_us + 10**9, "operator"))
        assert await told(here, goal) == [code]
        assert [claim.id for claim in await desk.claims()] == ["moving"]


async def test_what_is_over_is_released_without_a_word(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        assert await told(here, ["release", "nothing"]) == ["released"]


async def test_without_a_world_agents_are_told(tmp_path: Path) -> None:
    async with node(tmp_path, world="") as here:
        goals = (["claim", "db/main", "shared", 60], ["observe", "db/main.state", "up"], ["release", "x"])
        assert await told(here, *goals) == ["no_world", "no_world", "released"]


async def test_what_an_agent_says_counts_where_the_file_names_it(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        assert await here.result(await here.create("probe", 44)) == "observed"
        assert await told(here, ["observe", "db/main.connections", 45]) == ["proposed"]
        (writer,) = here.coordination.coordinator.writers()
        state = writer.picture.state("db/main.connections")
        assert (state.value, state.by, state.proposed) == (44, "agent:probe", 45)


async def test_the_same_call_again_makes_no_second_claim(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        calls = here.coordination.calls
        view = View(b"t" * 16, "default", "", "clerk", "1", Grant(), Budget(), Usage(), None)
        call = Call("", Kind.WORLD, "claim", 0, canonical({"scope": "db/main", "for_s": 60}))
        permit = Permit(view.task, 0, 1, 1e18, "0123456789abcdef" * 2)
        first, second = [await calls.perform(permit, call, view) for _ in range(2)]
        assert decode(first.value)["claim"] == decode(second.value)["claim"] == "0123456789abcdef"
        (held,) = await WorldDesk(here.store, here.clock).claims()
        assert (held.owner, held.rank) == ("agent:clerk", "agent")
        released = Call("", Kind.WORLD, "release", 0, canonical({"claim": held.id}))
        ends = [decode((await calls.perform(permit, released, view)).value)["released"] for _ in range(2)]
        assert ends == [True, False]


async def test_a_rehearsed_fork_claims_and_observes_nothing(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        calls = here.coordination.calls
        view = View(b"t" * 16, "default", "", "probe", "1", Grant(), Budget(), Usage(), None, rehearsed=True)
        permit = Permit(view.task, 0, 1, 1e18, "0123456789abcdef" * 2)
        for name, args in (
            ("claim", {"scope": "db/main", "for_s": 60}),
            ("observe", {"field": "db/main.connections", "value": 1}),
        ):
            assert (await calls.perform(permit, Call("", Kind.WORLD, name, 0, canonical(args)), view)).end == "done"
        assert await WorldDesk(here.store, here.clock).claims() == []
        assert here.coordination.coordinator.writers() == ()


async def test_such_calls_stand_in_the_journal(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        task = await here.create("probe", 44)
        await here.result(task)
        entries = await here.store.load(task)
        kept = [item for item in entries if isinstance(item.read(), Outcome) and item.kind == Kind.WORLD]
        assert len(kept) == 1


async def test_a_tool_that_says_what_it_touches_is_judged_and_recorded(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        found = await StoredPrograms(here.store).find("probe")
        assert found is not None
        spec = found.tool("drain")
        assert spec is not None
        assert [touch.field for touch in spec.touches] == ["db/{name}.state"]
        assert await here.result(await here.create("probe", "drain")) == "drained"
        (writer,) = here.coordination.coordinator.writers()

        async def is_down() -> bool:
            return writer.picture.state("db/main.state").value == "down"

        await wait_until(is_down)


async def test_what_is_declared_twice_is_refused(tmp_path: Path) -> None:
    world = WORLD.replace("tools:\n", 'tools:\n  drain: {touches: [{field: "db/{name}.state", value: "\'up\'"}]}\n')
    async with node(tmp_path, world) as here:
        with pytest.raises(ComityError, match="declared in the world file and beside the tool"):
            await here.result(await here.create("probe", "drain"))
