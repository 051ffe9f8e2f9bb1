"""Scrapes of the world file: Prometheus endpoints whose samples fill fields, read by the node that writes them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from comity.coordination.document import ScrapeSection
from comity.core.clock import Clock
from comity.core.errors import ComityError
from comity.journal.world import Observation
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.egress import GuardedTransport

BODY_BYTES_MAX = 16 * 1024 * 1024
PATIENCE_S = 10.0
_SERIES = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?")
_LABEL = re.compile(r'\s*(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')

log = logging.getLogger("comity.coordination")


class Scraper:
    """Reads the endpoints of the world in force, each at its own pace."""

    def __init__(self, coordinator: Coordinator, clock: Clock) -> None:
        """Scrape nothing until there is a world."""
        self._coordinator = coordinator
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def adopt(self, scrapes: dict[str, ScrapeSection]) -> None:
        """Read these endpoints from now on, and no others."""
        for task in self._tasks:
            task.cancel()
        self._tasks = [asyncio.ensure_future(self._follow(name, section)) for name, section in scrapes.items()]

    async def stop(self) -> None:
        """End."""
        self.adopt({})
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, name: str, section: ScrapeSection) -> None:
        transport = GuardedTransport(named=section.url)
        told = ""
        async with httpx2.AsyncClient(transport=transport, timeout=PATIENCE_S, follow_redirects=False) as http:
            while True:
                why = await self._scrape(http, name, section)
                if why != told:
                    log.warning("scrape `%s`: %s", name, why or "it can be read again")
                told = why
                await self._clock.sleep(section.every_s)

    async def _scrape(self, http: httpx2.AsyncClient, name: str, section: ScrapeSection) -> str:
        """Read an endpoint once; return what is wrong with it, empty for nothing."""
        at_us = self._clock.wall_us()
        try:
            text = await _read(http, section.url)
            values = dict(samples(text, section.fields))
            until_us = self._clock.wall_us()
            for field, value in values.items():
                seen = Observation(field, value, at_us, f"scrape:{name}", until_us=until_us)
                await self._coordinator.observe(seen)
        except (httpx2.HTTPError, ComityError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        missing = sorted(set(section.fields) - set(values))
        return f"it has no series for {', '.join(f'`{field}`' for field in missing)}" if missing else ""


def samples(text: str, fields: dict[str, str]) -> Iterable[tuple[str, float]]:
    """Yield the value of each field's series in an exposition.

    Raises:
        ValueError: the text is no exposition.
    """
    wanted = {field: _series(series) for field, series in fields.items()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for field, (metric, labels) in wanted.items():
                if sample.name == metric and labels.items() <= sample.labels.items() and sample.value == sample.value:
                    yield field, float(sample.value)


def _series(text: str) -> tuple[str, dict[str, str]]:
    found = _SERIES.fullmatch(text.strip())
    if found is None:
        return text, {}
    return found[1], {name: value.replace('\\"', '"') for name, value in _LABEL.findall(found[2] or "")}


async def _read(http: httpx2.AsyncClient, url: str) -> str:
    async with http.stream("GET", url) as response:
        if response.status_code != 200:
            raise ValueError(f"it answered {response.status_code}")
        body = b""
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > BODY_BYTES_MAX:
                raise ValueError(f"it says more than {BODY_BYTES_MAX} bytes")
    return body.decode("utf-8", "replace")
