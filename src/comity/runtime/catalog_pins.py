"""Which descriptors of foreign tools were accepted, and which wait: rows of the store, so that all nodes agree.

What an upstream offers when it is first reached after it was put into the configuration is accepted with it. From
then on a tool that is new, or that says something else of itself, waits until a person accepts it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import msgspec

from comity.core.clock import Clock
from comity.core.codec import pack
from comity.core.errors import UsageError
from comity.hands.mcp_descriptor import Descriptor
from comity.journal.ports import Store
from comity.journal.unit import GuardFailed, OperatorSubject, StateRow, StateWrite, Unit
from comity.kernel.patience import Patient
from comity.runtime.config_keys import guess

TOOL = "tool"
"""Namespace of the pins, by `SERVER.TOOL`."""
UPSTREAM = "upstream"
"""Namespace of what was put into the configuration, by `SERVER/IDENTITY`."""
CHANGES = "changes"
"""The key in `UPSTREAM` whose version counts the changes of pins."""

PinState = Literal["accepted", "changed", "new", "withdrawn"]

log = logging.getLogger("comity.catalog")


class Pin(msgspec.Struct, frozen=True, omit_defaults=True):
    """A foreign tool: the descriptor that was accepted, by whom and when, and the one that waits (None: none does)."""

    accepted: Descriptor | None = None
    offered: Descriptor | None = None
    is_withdrawn: bool = False
    accepted_by: str = ""
    accepted_us: int = 0

    @property
    def state(self) -> PinState:
        """Return where the tool stands; calls are made of an accepted one alone."""
        if self.accepted is None:
            return "new"
        if self.offered is not None:
            return "changed"
        return "withdrawn" if self.is_withdrawn else "accepted"


_read = msgspec.msgpack.Decoder(Pin).decode


class Pins:
    """The pins of a store."""

    def __init__(self, store: Store | Patient, clock: Clock) -> None:
        """Read from and write to `store`."""
        self._store = store
        self._clock = clock

    async def all(self) -> dict[str, Pin]:
        """Return every pin by the name of its tool."""
        return {row.key: _read(row.value) for row in await self._store.states(TOOL)}

    async def version(self) -> int:
        """Return a number that grows with each change of a pin."""
        row = await self._store.state(UPSTREAM, CHANGES)
        return 0 if row is None else row.version

    async def is_known(self, server: str, identity: str) -> bool:
        """Tell whether the upstream was ever reached as it is configured."""
        return await self._store.state(UPSTREAM, f"{server}/{identity}") is not None

    async def offer(self, server: str, identity: str, descriptors: Sequence[Descriptor]) -> None:
        """Take note of all that an upstream offers; `identity` tells one configuration of it from another."""
        while True:
            rows = {row.key: row for row in await self._store.states(TOOL, f"{server}.")}
            is_first = not await self.is_known(server, identity)
            changed = self._changes(server, rows, descriptors, is_first=is_first)
            writes = [StateWrite(TOOL, name, _packed(pin), _version(rows, name)) for name, pin in changed.items()]
            if is_first:
                writes.append(StateWrite(UPSTREAM, f"{server}/{identity}", b"{}", 0))
            if not writes or await self._commit("catalog", writes):
                _tell(server, changed, is_first=is_first)
                return

    async def accept(self, name: str, who: str) -> Pin:
        """Accept what a tool's server says of it now.

        Raises:
            UsageError: there is no such tool, or nothing of it waits.
        """
        while True:
            row = await self._store.state(TOOL, name)
            if row is None:
                names = [known.key for known in await self._store.states(TOOL)]
                raise UsageError("no_such_tool", f"no upstream has offered a tool `{name}`", hint=guess(name, names))
            pin = _read(row.value)
            if pin.offered is None:
                hint = "`comity tools ls` marks those that wait"
                raise UsageError("nothing_to_accept", f"tool `{name}` says what was accepted", hint=hint)
            pin = Pin(pin.offered, accepted_by=who, accepted_us=self._clock.wall_us())
            if await self._commit(who, [StateWrite(TOOL, name, pack(pin), row.version)]):
                return pin

    async def _commit(self, who: str, writes: list[StateWrite]) -> bool:
        """Write pins; False where another node has written one of them meanwhile."""
        unit = Unit(OperatorSubject(who), state=(*writes, StateWrite(UPSTREAM, CHANGES, b"{}")))
        (answer,) = await self._store.commit([unit])
        return not isinstance(answer, GuardFailed)

    def _changes(
        self, server: str, rows: dict[str, StateRow], descriptors: Sequence[Descriptor], *, is_first: bool
    ) -> dict[str, Pin | None]:
        """Return the pins that are no longer as they were; None for one of which nothing is left."""
        offered = {f"{server}.{item.name}": item for item in descriptors}
        changed: dict[str, Pin | None] = {}
        for name in {**dict.fromkeys(rows), **offered}:
            row, descriptor = rows.get(name), offered.get(name)
            pin = _read(row.value) if row is not None else None
            now: Pin | None = self._now(pin, descriptor, is_first=is_first)
            if now != pin:
                changed[name] = now
        return changed

    def _now(self, pin: Pin | None, descriptor: Descriptor | None, *, is_first: bool) -> Pin | None:
        accepted = pin.accepted if pin is not None else None
        if descriptor is None:
            return (
                None
                if pin is None or accepted is None
                else msgspec.structs.replace(pin, offered=None, is_withdrawn=True)
            )
        if accepted is not None and accepted.digest == descriptor.digest:
            assert pin is not None
            return msgspec.structs.replace(pin, offered=None, is_withdrawn=False)
        if is_first:
            return Pin(descriptor, accepted_by="configuration", accepted_us=self._clock.wall_us())
        return msgspec.structs.replace(pin or Pin(), offered=descriptor, is_withdrawn=False)


def _packed(pin: Pin | None) -> bytes | None:
    return None if pin is None else pack(pin)


def _version(rows: dict[str, StateRow], name: str) -> int:
    return rows[name].version if name in rows else 0


def _tell(server: str, changed: dict[str, Pin | None], *, is_first: bool) -> None:
    """Write to the log what became of an upstream's tools."""
    if is_first:
        names = ", ".join(f"`{name}`" for name, pin in changed.items() if pin is not None and pin.accepted is not None)
        log.info("upstream `%s` is new; accepted with its configuration: %s", server, names or "no tool")
        return
    for name, pin in changed.items():
        if pin is None or pin.state == "withdrawn":
            log.warning("tool `%s` is no longer offered", name)
        elif pin.offered is not None:
            what = "is new" if pin.accepted is None else "has changed what it says of itself"
            log.warning("tool `%s` %s; `comity tools accept %s` lets it be called", name, what, name)
