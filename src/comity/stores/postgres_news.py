"""News between processes through PostgreSQL: NOTIFY after commits, LISTEN for those of others, a poll beneath both."""

from __future__ import annotations

import asyncio

import psycopg

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import StoreError
from comity.stores.news import News
from comity.stores.postgres_link import Link

CHANNEL = "comity"
NOTIFY_S_MIN = 0.02
"""Commits within this time share one NOTIFY: inside a busy node it must cost next to nothing."""
POLL_S = 1.0


class PostgresNews:
    """Tells this process's watchers of everybody's commits, and everybody of this process's."""

    def __init__(self, news: News, url: str, me: str, pace: Clock, entropy: Entropy) -> None:
        """Notify as `me`; `pace` measures the time between notifications and polls."""
        self._news = news
        self._url = url
        self._me = me
        self._pace = pace
        self._entropy = entropy
        self._sender = Link(url, "notify", "-c synchronous_commit=off")
        self._listener = Link(url, "listen")
        self._is_due = False
        self._tasks: list[asyncio.Task[None]] = []
        self._sending: asyncio.Task[None] | None = None

    def committed(self) -> None:
        """Tell everybody that this process has committed."""
        self._news.tell()
        self._is_due = True
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._is_due:
            self._is_due = False
            try:
                await self._sender.rows("SELECT pg_notify(%s, %s)", CHANNEL, self._me)
            except StoreError:
                return  # those who listen have lost their connection too, and poll
            await self._pace.sleep(NOTIFY_S_MIN)

    def listen(self) -> None:
        """Begin to listen and to poll."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._listen()), loop.create_task(self._poll())]

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._listener.connection()
                await connection.execute(f"LISTEN {CHANNEL}")
                self._news.tell()
                async for notice in connection.notifies():
                    if notice.payload != self._me:
                        self._news.tell()
            except psycopg.Error:
                await self._listener.drop()
            await self._pace.sleep(self._jittered_s())

    async def _poll(self) -> None:
        while True:
            await self._pace.sleep(self._jittered_s())
            self._news.tell()

    def _jittered_s(self) -> float:
        return POLL_S * (0.75 + self._entropy.take(1)[0] / 512)

    async def close(self) -> None:
        """Stop, and close the connections."""
        tasks = [*self._tasks, *([self._sending] if self._sending else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        self._news.clear()
        await self._sender.drop()
        await self._listener.drop()
