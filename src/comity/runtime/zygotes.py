"""Which zygote serves which agent file: started on first use, replaced when a source of it changes on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from comity.core.errors import HandsError
from comity.journal.spec import Program
from comity.runtime.forking import Role
from comity.runtime.zygote import Child, Zygote, ZygoteSettings


class Zygotes:
    """All zygotes of a node."""

    def __init__(self, settings: ZygoteSettings) -> None:
        self._settings = settings
        self._starting: dict[tuple[Role, str], asyncio.Task[Zygote]] = {}
        self._retired: set[Zygote] = set()
        self._is_closed = False

    async def describe(self, file: str) -> Program:
        """Return what an agent file offers; its code runs in a zygote, never here.

        Raises:
            UsageError: The file cannot be loaded.
        """
        return (await self._zygote("hand", file)).program

    async def fork(self, role: Role, file: str, who: str, on_exit: Callable[[str], None]) -> Child:
        """Fork a child with `file` loaded; `on_exit` is called once, in words, when it is dead.

        Raises:
            UsageError: The file cannot be loaded.
            HandsError: The machine has no room for another process.
        """
        zygote = await self._zygote(role, file)
        if zygote.is_over:  # its sources changed, or it was killed, a moment ago
            zygote = await self._zygote(role, file)
        return await zygote.fork(who, on_exit)

    async def close(self) -> None:
        """End all zygotes with everything that was forked from them, and return when they are gone."""
        self._is_closed = True
        starting, self._starting = list(self._starting.values()), {}
        for task in starting:
            task.cancel()
        found = await asyncio.gather(*starting, return_exceptions=True)
        zygotes = {*(item for item in found if isinstance(item, Zygote)), *self._retired}
        for zygote in zygotes:
            zygote.close()
        for zygote in zygotes:
            await zygote.wait_closed()

    async def _zygote(self, role: Role, file: str) -> Zygote:
        """Return a zygote that has loaded what is on disk. A failed start is not kept: the next request tries again."""
        if self._is_closed:
            raise HandsError("no_process", "this node ends", retry="redo")
        place = (role, file)
        task = self._starting.get(place)
        if task is not None and task.done() and not self._is_usable(task):
            del self._starting[place]
            task = None
        if task is None:
            task = asyncio.create_task(Zygote.start(role, file, self._settings))
            self._starting[place] = task
        return await asyncio.shield(task)

    def _is_usable(self, task: asyncio.Task[Zygote]) -> bool:
        if task.cancelled() or task.exception() is not None:
            return False
        zygote = task.result()
        if zygote.is_fresh():
            return True
        self._retired = {old for old in self._retired if not old.is_over} | {zygote}
        zygote.retire()
        return False
