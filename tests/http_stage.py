"""A server on a stage: a real one on loopback, over a SQLite store with tasks in several states, and its client."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from comity.core.clock import Clock
from comity.core.codec import pack
from comity.core.ids import Id, show_id
from comity.journal.ports import Store
from comity.journal.program import load
from comity.journal.spec import AgentSpec, Program
from comity.journal.task import State
from comity.journal.unit import OperatorSubject, StateWrite, Unit
from comity.kernel import Settings
from comity.runtime.config import load_config
from comity.runtime.embedded import Embedded
from comity.runtime.node import Node
from comity.runtime.programs import NAMESPACE, register
from comity.server.app import Server
from comity.server.assembly import server_of
from comity.server.auth import Operators
from comity.server.listening import listen
from comity.stores.open import open_store
from comity.testing.waiting import wait_until

CLERK = '''"""A clerk that charges orders."""
from comity import Agent, Context, agent, tool
from comity.testing import ScriptedModel

mind = ScriptedModel({"": "all is well"})


@tool(effect="irreversible", once=["order"])
def charge(order: int, amount: int) -> dict:
    """Charge an order."""
    return {"id": f"ch_{order}", "amount": amount}


@tool(effect="irreversible")
def breaks(order: int) -> str:
    """Be cut off."""
    raise OSError("connection reset")


talker = Agent("talker", model=mind, tools=[])


@agent(model=mind, tools=[charge, breaks])
async def clerk(context: Context) -> str:
    """Do what the goal says."""
    if "doubt" in context.goal:
        await context.act(breaks, order=7)
    if "ask" in context.goal:
        await context.ask_human("Ship it?", options=["yes", "no"])
    if "fail" in context.goal:
        raise ValueError("no such order")
    if "long" in context.goal:
        return "x" * 5000
    return (await context.think("Tell what happened")).text
'''

Problem = dict[str, Any]


@dataclass
class HttpStage:
    """A running server; `client` speaks as an operator."""

    node: Node
    server: Server
    operators: Operators
    token: str
    client: httpx2.AsyncClient
    tasks: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Return its store."""
        return self.node.store

    async def document(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Return what the API answers, which must have that status."""
        answer = await self.client.request(method, f"/api/v1{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refusal(self, method: str, path: str, status: int, code: str, **more: Any) -> Problem:
        """Return the problem that the API answers with, which must have that status and code."""
        answer = await self.client.request(method, f"/api/v1{path}", **more)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        problem: Problem = answer.json()
        assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
        assert problem["detail"]
        assert problem["type"] == f"urn:comity:problem:{code}"
        return problem


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    clock: Clock | None = None,
    settings: Mapping[str, str] | None = None,
    text: str = "",
    goals: tuple[str, ...] = (),
    verify: ssl.SSLContext | bool = True,
) -> AsyncIterator[HttpStage]:
    """Serve a store, with `text` as `comity.toml`; `goals` are worked on before, each as far as it goes.

    The node takes no tasks of its own.
    """
    given = {f"COMITY_{name.upper().replace('.', '__')}": text for name, text in (settings or {}).items()}
    home = folder / "home"
    if text:
        (folder / "comity.toml").write_text(text, encoding="utf-8")
        given["COMITY_CONFIG"] = str(folder / "comity.toml")
    base = {"COMITY_HOME": str(home), "HOME": str(folder), "COMITY_SERVER__PORT": "0"}
    config = load_config({**base, **given})
    config.make_home()
    store = open_store(config.sections.store.url)
    await store.open()
    try:
        tasks = await _worked_on(store, folder, goals) if goals else {}
        node = Node(config, store, {}, clock=clock)
        operators = Operators(store, node.clock, node.entropy)
        server = await server_of(node, listen(config.sections.server), operators)
        token = operators.passing()
        await server.start()
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=20, verify=verify) as client:
                yield HttpStage(node, server, operators, token, client, tasks)
        finally:
            await server.close()
            await node.close()
    finally:
        await store.close()


async def register_outside(store: Store, name: str = "visitor") -> None:
    """Register an agent that is a program of its own."""
    program = Program("", "", (AgentSpec(name, "outside", version="1"),), ())
    await store.commit([Unit(OperatorSubject("test"), state=(StateWrite(NAMESPACE, name, pack(program)),))])


async def _worked_on(store: Store, folder: Path, goals: tuple[str, ...]) -> dict[str, str]:
    file = folder / "clerk.py"
    file.write_text(CLERK, encoding="utf-8")
    loaded = load(file)
    await register(store, loaded.program)
    made: dict[str, Id] = {}
    async with Embedded(loaded, store, settings=Settings(linger_s=0.0)) as node:
        for goal in goals:
            talks = goal == "talk"
            made[goal] = await node.create("talker" if talks else "clerk", goal, session="ada" if talks else "")
        for goal, task in made.items():
            if goal == "ask":
                await wait_until(lambda task=task: _is_waiting(node, task))  # type: ignore[misc]
            else:
                await node.left(task)
    return {goal: show_id(task) for goal, task in made.items()}


async def _is_waiting(node: Embedded, task: Id) -> bool:
    return (await node.orders.row(task)).state is State.WAITING
