"""Which agent file offers which agent: kept in the store, so that every node and command sees the same."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from comity.core.codec import pack
from comity.core.errors import UsageError
from comity.journal.ports import Store
from comity.journal.spec import AgentSpec, Program
from comity.journal.unit import OperatorSubject, StateWrite, Unit
from comity.kernel.patience import Patient
from comity.runtime.config import Config

NAMESPACE = "agent"

Describe = Callable[[str], Awaitable[Program]]
"""Tells what an agent file offers."""
OfOutside = Callable[[AgentSpec], Awaitable[Program]]
"""Gives what an outside program may be offered: `Catalog.program`."""

_read = msgspec.msgpack.Decoder(Program).decode


class StoredPrograms:
    """The `Programs` port over the store; what was read once is kept until `forget`."""

    def __init__(self, store: Store | Patient, of_outside: OfOutside | None = None) -> None:
        """Read from `store`; `of_outside` says what outside programs are offered, without it they have no tools."""
        self._store = store
        self._of_outside = of_outside
        self._known: dict[str, tuple[int, Program]] = {}

    async def find(self, agent: str) -> Program | None:
        """Return the program that offers `agent`, as it was registered last; an outside one, as it is configured."""
        row = await self._store.state(NAMESPACE, agent)
        if row is None:
            return None
        known = self._known.get(agent)
        if known is None or known[0] != row.version:
            self._known[agent] = known = (row.version, _read(row.value))
        spec = known[1].agent(agent)
        if spec is not None and spec.kind == "outside" and self._of_outside is not None:
            return await self._of_outside(spec)
        return known[1]

    async def all(self) -> list[tuple[AgentSpec, Program]]:
        """Return every registered agent with its program, by name."""
        found = []
        for row in await self._store.states(NAMESPACE):
            program = _read(row.value)
            spec = program.agent(row.key)
            if spec is not None:
                found.append((spec, program))
        return found


class LivePrograms(StoredPrograms):
    """The `Programs` port of a node: a file that was edited since it was registered is read and registered again.

    So versions and effect classes are those of the code that runs. `own` are the agents that Comity itself brings.
    """

    def __init__(
        self, store: Store | Patient, describe: Describe, config: Config, of_outside: OfOutside | None = None
    ) -> None:
        """Read files by `describe`, in a process of their own; `config` holds the operator's overrides."""
        super().__init__(store, of_outside)
        self.own: dict[str, Callable[[], Program]] = {}
        self._kept = store
        self._describe = describe
        self._config = config

    async def find(self, agent: str) -> Program | None:
        """Return the program that offers `agent`, as its file is now.

        Raises:
            UsageError: the file was edited, and cannot be loaded or no longer offers the agent.
        """
        if agent in self.own:
            return self.own[agent]()
        program = await super().find(agent)
        if program is None or not program.file or digest_of(program.file) in ("", program.digest):
            return program
        edited = configured(await self._describe(program.file), self._config)
        if edited.agent(agent) is None:
            raise UsageError("no_such_agent", f"`{program.file}` no longer offers agent `{agent}`")
        await register(self._kept, edited)
        return edited


def digest_of(file: str) -> str:
    """Return the SHA-256 of a file's content in hex; an empty string where it cannot be read."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""


class FixedPrograms:
    """The `Programs` port over what is in memory: embedded runs and tests."""

    def __init__(self, *programs: Program) -> None:
        """Offer the agents of `programs`."""
        self._by_agent = {agent.name: program for program in programs for agent in program.agents}

    async def find(self, agent: str) -> Program | None:
        """Return the program that offers `agent`."""
        return self._by_agent.get(agent)


async def register(store: Store | Patient, program: Program) -> None:
    """Enter each agent of a program; the newest registration of a name counts.

    Raises:
        UsageError: the file offers no agent.
    """
    value = pack(with_agents(program))
    writes = tuple(StateWrite(NAMESPACE, agent.name, value) for agent in program.agents)
    await store.commit([Unit(OperatorSubject("register"), state=writes)])


async def register_outside(store: Store | Patient, name: str, spec: AgentSpec) -> None:
    """Enter an outside program, which no file offers, under `name`."""
    await register(store, Program("", "", (msgspec.structs.replace(spec, name=name, kind="outside"),), ()))


def with_agents(program: Program) -> Program:
    """Return `program`, which offers agents.

    Raises:
        UsageError: it offers none: its file holds tools alone.
    """
    if not program.agents:
        hint = "decorate a coroutine function with `@agent`, or bind an `Agent(…)` to a name"
        raise UsageError("no_agents", f"`{program.file}` offers no agent", hint=hint)
    return program


def configured(program: Program, config: Config) -> Program:
    """Return `program` with the operator's limits and stricter effect classes.

    Raises:
        UsageError: an override would be less strict than the author's declaration.
    """
    sections = config.sections
    tools = tuple(
        sections.tools[spec.name].applied(spec) if spec.name in sections.tools else spec for spec in program.tools
    )
    agents = tuple(
        msgspec.structs.replace(
            spec,
            concurrency_limit=sections.agents[spec.name].concurrency_limit or spec.concurrency_limit,
            on_divergence=sections.agents[spec.name].on_divergence or spec.on_divergence,
        )
        if spec.name in sections.agents
        else spec
        for spec in program.agents
    )
    return msgspec.structs.replace(program, agents=agents, tools=tools)
