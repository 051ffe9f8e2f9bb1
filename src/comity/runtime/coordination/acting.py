"""What an enforced detector does when it fires: freezes a field, parks the youngest task, stops an agent."""

from __future__ import annotations

import asyncio
import logging

from comity.coordination.detector import Alarm
from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import ComityError
from comity.core.ids import parse_id
from comity.journal.ports import Store
from comity.journal.world import Claim
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.orders import Orders

FREEZE_S = 600.0
"""For so long a field is frozen; whoever ends the claim lets it go before."""

log = logging.getLogger("comity.coordination")


class Actions:
    """Carries out what detectors do; the same alarm seen by several nodes is acted on once, or with one effect."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        """Act on `store`."""
        self._desk = WorldDesk(store, clock, "detectors")
        self._orders = Orders(store, clock, entropy, "detectors")
        self._clock = clock
        self._beside: set[asyncio.Task[None]] = set()

    def take(self, alarm: Alarm, action: str) -> None:
        """Begin what an alarm's action is."""
        log.warning("%s (%s): %s", alarm.detector, action, alarm.text)
        if action in ("freeze", "park", "stop"):
            task = asyncio.ensure_future(self._act(alarm, action))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

    async def stop(self) -> None:
        """Wait for what has begun."""
        await asyncio.gather(*self._beside, return_exceptions=True)

    async def _act(self, alarm: Alarm, action: str) -> None:
        try:
            if action == "freeze":
                for field in alarm.fields:
                    await self._freeze(alarm, field)
            elif action == "stop" and alarm.actors:
                await self._orders.stop(f"agent:{alarm.actors[-1].rpartition('/')[2]}")
            elif alarm.evidence:
                await self._orders.pause(parse_id(alarm.evidence[-1].partition("/")[0]))
        except ComityError as error:
            log.warning("%s could not %s: %s", alarm.detector, action, error.message)

    async def _freeze(self, alarm: Alarm, field: str) -> None:
        now_us = self._clock.wall_us()
        name = f"{alarm.detector}-{field.replace('/', '-')}"
        until_us = now_us + round(FREEZE_S * 1e6)
        claim = Claim(name, field, "hands-off", "operator:detectors", now_us, until_us, "operator", alarm.text)
        await self._desk.claim(claim)
