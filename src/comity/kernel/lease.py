"""A node's one lease: renewed beside all work, never by it. Nothing starts once lease minus margin is over."""

from __future__ import annotations

from collections.abc import Callable

from comity.core.clock import Clock
from comity.core.errors import StoreError
from comity.core.ids import Id
from comity.journal.ports import Store


class NodeLease:
    """The right to run tasks until `until_s` (monotonic), counted from before the renewal was sent."""

    def __init__(self, store: Store, clock: Clock, node: Id, lease_id: Id, lease_s: float, margin_s: float) -> None:
        """Hold the lease `lease_id` of `node`, which the caller registers."""
        self._store = store
        self._clock = clock
        self.node = node
        self.lease_id = lease_id
        self.lease_s = lease_s
        self.margin_s = margin_s
        self.until_s = 0.0
        self.is_lost = False
        self.on_renewed: list[Callable[[float], None]] = []

    @property
    def start_until_s(self) -> float:
        """Return the last moment (monotonic) at which anything may start."""
        return 0.0 if self.is_lost else self.until_s - self.margin_s

    def may_start(self) -> bool:
        """Tell whether a call may start now."""
        return self._clock.monotonic_s() < self.start_until_s

    async def register(self, host: str, pid: int, address: str = "") -> None:
        """Enter the node, with a lease that starts now."""
        sent_s = self._clock.monotonic_s()
        await self._store.register(self.node, self.lease_id, self.lease_s, host, pid, address)
        self._extend(sent_s)

    def begin_anew(self, lease_id: Id) -> None:
        """Hold another lease from now on; the caller registers it."""
        self.lease_id = lease_id
        self.until_s = 0.0
        self.is_lost = False

    async def renew(self) -> bool:
        """Extend the lease; False where the node has been declared dead, or replaced."""
        sent_s = self._clock.monotonic_s()
        row = await self._store.renew(self.node, self.lease_id, self.lease_s)
        if row is None:
            self.is_lost = True
            return False
        self._extend(sent_s)
        return True

    async def keep(self) -> None:
        """Renew at a third of the lease, until it is lost; a store out of reach is asked again sooner."""
        while not self.is_lost:
            pause_s = self.lease_s / 3
            try:
                await self.renew()
            except StoreError:
                pause_s = self.lease_s / 10
            await self._clock.sleep(pause_s)

    def _extend(self, sent_s: float) -> None:
        self.until_s = sent_s + self.lease_s
        for told in self.on_renewed:
            told(self.until_s)
