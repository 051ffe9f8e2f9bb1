"""The catalog: every tool that programs at the gateway may be offered, from upstream MCP servers and from tool files.

An upstream's tool is here as its descriptor was accepted, with what the configuration says of it; while its server is
away too. One that waits, or that the configuration describes wrongly, is listed as such and cannot be called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec

from comity.core.clock import Clock
from comity.core.errors import ComityError, UsageError
from comity.hands.mcp_descriptor import Descriptor
from comity.journal.call import Attempt
from comity.journal.naming import is_named
from comity.journal.ports import Store
from comity.journal.program import Role, check_fit
from comity.journal.spec import AgentSpec, Effect, Program, ToolSpec
from comity.kernel.patience import Patient
from comity.runtime.catalog_pins import Pin, Pins, PinState
from comity.runtime.config import Config
from comity.runtime.config_keys import guess
from comity.runtime.config_sections import AgentSection
from comity.runtime.programs import Describe
from comity.runtime.tool_files import ToolFiles

LOOK_S = 1.0
"""How often a catalog that is watched looks for what others have changed, at most."""

log = logging.getLogger("comity.catalog")

EntryState = PinState | Literal["file", "misdeclared"]


class CatalogEntry(NamedTuple):
    """A tool that the catalog knows. It is offered where `state` is `accepted` or `file`; else `problem` says why not.

    `pin` is what is known of an upstream's tool, None for a tool of a file.
    """

    spec: ToolSpec
    state: EntryState
    problem: str = ""
    pin: Pin | None = None

    @property
    def is_offered(self) -> bool:
        """Tell whether programs may call it."""
        return self.state in ("accepted", "file")


class Catalog:
    """The tools of a store and a configuration; `load` reads them once, `start` keeps up with changes."""

    def __init__(self, store: Store | Patient, config: Config, describe: Describe, clock: Clock) -> None:
        """Read pins from `store`, tool files by `describe`."""
        self.entries: tuple[CatalogEntry, ...] = ()
        self.tools: tuple[ToolSpec, ...] = ()
        self.on_change: list[Callable[[], None]] = []
        self._config = config
        self._clock = clock
        self._pins = Pins(store, clock)
        self._files = ToolFiles(config, describe)
        self._by_name: dict[str, CatalogEntry] = {}
        self._version = -1
        self._offers: dict[str, list[str]] = {}
        self._following: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read everything.

        Raises:
            UsageError: a tool file cannot be loaded, or the configuration does not fit its tools.
        """
        await self._files.load()
        self._version = -1  # what was taken before had no files
        await self.refresh()

    async def start(self) -> None:
        """Read everything, and follow what other nodes and people change.

        Raises:
            UsageError: as `load`.
        """
        await self.load()
        if self._config.sections.mcp_upstreams or self._files.tools:
            self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """End that."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait([following])

    async def program(self, spec: AgentSpec) -> Program:
        """Return what an outside program is offered; `spec` is as it was registered, its section counts more."""
        await self.refresh()
        section = self._config.sections.agents.get(spec.name)
        if section is not None and section.kind == "outside":
            spec = outside_spec(spec.name, self._config, self)
        else:
            tools = tuple(tool.name for tool in self.tools if is_named(tool.name, spec.tools))
            spec = msgspec.structs.replace(spec, tools=tools)
        return Program("", "", (spec,), self.tools)

    def find(self, name: str) -> ToolSpec | None:
        """Return the offered tool of that name, or None."""
        entry = self._by_name.get(name)
        return entry.spec if entry is not None and entry.is_offered else None

    def entry(self, name: str) -> CatalogEntry:
        """Return what is known of a tool.

        Raises:
            UsageError: nothing is.
        """
        found = self._by_name.get(name)
        if found is None:
            raise UsageError("no_such_tool", f"there is no tool `{name}`", hint=guess(name, self._by_name))
        return found

    def pending(self) -> tuple[CatalogEntry, ...]:
        """Return the tools that wait to be accepted."""
        return tuple(entry for entry in self.entries if entry.state in ("new", "changed"))

    async def accept(self, name: str, who: str) -> CatalogEntry:
        """Accept what a tool's server says of it now; calls of it are made from then on.

        Raises:
            UsageError: there is no such tool, or nothing of it waits.
        """
        await self._pins.accept(name, who)
        await self.refresh()
        return self.entry(name)

    async def refresh(self) -> None:
        """Take in what has changed: pins that others wrote, tool files that were edited."""
        version = await self._pins.version()
        is_edited = await self._files.reload()
        if version == self._version and not is_edited:
            return
        self._take(await self._pins.all())
        self._version = version
        for told in self.on_change:
            told()

    # What hands that reach upstreams ask

    async def is_known(self, server: str, identity: str) -> bool:
        """Tell whether the upstream was ever reached as it is configured."""
        return await self._pins.is_known(server, identity)

    async def listed(self, server: str, identity: str, descriptors: Sequence[Descriptor]) -> None:
        """Take note of what an upstream offers now."""
        await self._pins.offer(server, identity, descriptors)
        await self.refresh()
        known = sorted(item.name for item in descriptors)
        if self._offers.get(server) == known:
            return
        self._offers[server] = known
        for name in self._config.sections.tools:
            prefix, dot, tool = name.partition(".")
            if dot and prefix == server and tool not in known:
                log.warning('`[tools."%s"]`: the upstream has no such tool; %s', name, guess(tool, known))

    def refusal(self, tool: ToolSpec, offered: Descriptor | None) -> Attempt | None:
        """Return why a call of an upstream's tool is not made, None where it may be.

        Args:
            tool: the tool as the caller knows it.
            offered: what its server says of it now, None where it does not offer it.
        """
        entry = self._by_name.get(tool.name)
        accepted = entry.pin.accepted if entry is not None and entry.pin is not None else None
        if offered is None:
            text = f"upstream `{tool.server}` no longer offers `{tool.name}`"
            return Attempt("failed", error=text, code="no_such_tool", hint="use another tool")
        if entry is None or accepted is None or accepted.digest != offered.digest:
            text = f"`{tool.name}` is not what was accepted: its server says something else of it now"
            hint = f"a person looks at it and accepts it: `comity tools accept {tool.name}`"
            return Attempt("failed", error=text, code="descriptor_changed", hint=hint)
        if not entry.is_offered:
            return Attempt("failed", error=entry.problem, code="misdeclared_tool", hint="correct the configuration")
        if _rules(entry.spec) != _rules(tool):
            text = f"`{tool.name}` is declared otherwise than when this task began"
            return Attempt("failed", error=text, code="tool_changed", hint="begin a new task")
        return None

    # The rest

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                await self.refresh()
            except ComityError as error:
                log.warning("the catalog could not be read: %s", error.message)

    def _take(self, pins: dict[str, Pin]) -> None:
        servers = self._config.sections.mcp_upstreams
        found = [
            CatalogEntry(self._declared(name, pin), pin.state, _waiting(name, pin), pin)
            for name, pin in pins.items()
            if name.partition(".")[0] in servers
        ]
        found += [CatalogEntry(spec, "file") for spec in self._files.tools]
        specs = {entry.spec.name: entry.spec for entry in found}
        self.entries = tuple(_judged(entry, specs) for entry in sorted(found, key=lambda entry: entry.spec.name))
        self.tools = tuple(entry.spec for entry in self.entries if entry.is_offered)
        self._by_name = {entry.spec.name: entry for entry in self.entries}

    def _declared(self, name: str, pin: Pin) -> ToolSpec:
        """Return an upstream's tool with what the configuration says of it."""
        descriptor = pin.accepted or pin.offered
        assert descriptor is not None, "a pin holds a descriptor"
        server = name.partition(".")[0]
        spec = descriptor.spec(server)
        if self._config.sections.mcp_upstreams[server].trust_annotations:
            spec = msgspec.structs.replace(spec, effect=_hinted(descriptor))
        section = self._config.sections.tools.get(name)
        return section.declared(spec) if section is not None else spec


def outside_spec(name: str, config: Config, catalog: Catalog) -> AgentSpec:
    """Return the outside agent `name` as its section describes it; without one it may use every tool and model."""
    section = config.sections.agents.get(name) or AgentSection(kind="outside")
    return AgentSpec(
        name,
        "outside",
        version=section.version,
        description=section.description,
        tools=tuple(tool.name for tool in catalog.tools if is_named(tool.name, section.tools)),
        agents=section.agents,
        on_divergence=section.on_divergence or "park",
        queue=section.queue,
        concurrency_limit=section.concurrency_limit,
        outside=section.outside,
        models=section.models,
    )


def _hinted(descriptor: Descriptor) -> Effect:
    """Return the class that a trusted server's annotations give a tool."""
    if descriptor.annotations.get("readOnlyHint") is True:
        return Effect.READ
    return Effect.IDEMPOTENT if descriptor.annotations.get("idempotentHint") is True else Effect.IRREVERSIBLE


def _waiting(name: str, pin: Pin) -> str:
    accept = f"`comity tools accept {name}` lets it be called"
    texts = {
        "new": f"it is new, and waits: {accept}",
        "changed": f"its server says something else of it than was accepted: {accept}",
        "withdrawn": "its server no longer offers it",
    }
    return texts.get(pin.state, "")


def _judged(entry: CatalogEntry, specs: dict[str, ToolSpec]) -> CatalogEntry:
    """Return the entry, as misdeclared where the tools that it leans on are not there or do not fit."""
    spec = entry.spec
    if not entry.is_offered or not spec.server:
        return entry
    roles: tuple[tuple[Role, str], ...] = (
        ("reconcile", spec.reconcile),
        ("compensate", spec.compensate),
        ("verify", spec.verify),
    )
    for role, name in roles:
        if not name:
            continue
        if name not in specs:
            text = f'`tools."{spec.name}".{role}` names `{name}`, which is no tool here; {guess(name, specs)}'
            return entry._replace(state="misdeclared", problem=text)
        try:
            check_fit(spec.name, role, specs[name])
        except UsageError as error:
            return entry._replace(state="misdeclared", problem=f"{error.message}; {error.hint}")
    return entry


def _rules(spec: ToolSpec) -> tuple[object, ...]:
    """Return what the kernel goes by when it performs a call of a tool and resolves a doubt of it."""
    return (spec.effect, spec.once, spec.once_per, spec.reconcile, spec.compensate, spec.verify, spec.key_argument)
