"""What an enforced detector does when it fires: freezes a field, parks the youngest task, stops an agent."""

from __future__ import annotations

import asyncio
import logging

from comity.coordination.detector import Alarm
from comity.core.clock import Clock
from comity.core.codec import canonical, digest
from comity.core.entropy import Entropy
from comity.core.errors import ComityError
from comity.core.ids import parse_id
from comity.journal.ports import Store
from comity.journal.unit import OperatorSubject, StateWrite, Unit
from comity.journal.world import Claim
from comity.runtime.coordination import rows
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.orders import Orders

FREEZE_S = 600.0
"""For so long a field is frozen; whoever ends the claim lets it go before."""
FRESH_US = 60_000_000
"""An older alarm is of the history that a node reads when it starts: it is told, and nothing is done any more."""

log = logging.getLogger("comity.coordination")


class Actions:
    """Carries out what detectors do. Every node sees an alarm: once it was acted on, what people undo stays undone."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        """Act on `store`."""
        self._store = store
        self._desk = WorldDesk(store, clock, "detectors")
        self._orders = Orders(store, clock, entropy, "detectors")
        self._clock = clock
        self._beside: set[asyncio.Task[None]] = set()

    def take(self, alarm: Alarm, action: str) -> None:
        """Begin what an alarm's action is."""
        log.warning("%s (%s): %s", alarm.detector, action, alarm.text)
        is_fresh = alarm.at_us + FRESH_US > self._clock.wall_us()
        if is_fresh and action in ("freeze", "park", "stop"):
            task = asyncio.ensure_future(self._act(alarm, action))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

    async def stop(self) -> None:
        """Wait for what has begun."""
        await asyncio.gather(*self._beside, return_exceptions=True)

    async def _act(self, alarm: Alarm, action: str) -> None:
        done = StateWrite(rows.ALARM, _key(alarm), str(alarm.at_us).encode(), 0)
        try:
            if await self._store.state(rows.ALARM, done.key) is not None:
                return
            if action == "freeze":
                for field in alarm.fields:
                    await self._freeze(alarm, field)
            elif action == "stop" and alarm.actors:
                await self._orders.stop(f"agent:{alarm.actors[-1]}")
            elif action == "park" and alarm.evidence:
                await self._orders.pause(parse_id(alarm.evidence[-1].partition("/")[0]))
            await self._store.commit([Unit(OperatorSubject("detectors"), state=(done, *await self._over()))])
        except ComityError as error:
            log.warning("%s could not %s: %s", alarm.detector, action, error.message)

    async def _over(self) -> list[StateWrite]:
        """Return what forgets the alarms that no node acts on any more."""
        since_us = self._clock.wall_us() - 2 * FRESH_US
        found = await self._store.states(rows.ALARM)
        return [StateWrite(rows.ALARM, row.key, None) for row in found if int(row.value) < since_us]

    async def _freeze(self, alarm: Alarm, field: str) -> None:
        now_us = self._clock.wall_us()
        name = f"{alarm.detector}-{field.replace('/', '-')}"
        until_us = now_us + round(FREEZE_S * 1e6)
        claim = Claim(name, field, "hands-off", "operator:detectors", now_us, until_us, "operator", alarm.text)
        await self._desk.claim(claim)


def _key(alarm: Alarm) -> str:
    return f"{alarm.detector}/{digest(canonical(alarm.fields)).hex()[:16]}/{alarm.at_us}"
