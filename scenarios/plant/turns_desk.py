"""Who may go on: agents wait here for their turn, the driver gives it, and hears when they wait again."""

from __future__ import annotations

import asyncio


class Turns:
    """The turns of one run."""

    def __init__(self) -> None:
        """Nobody waits."""
        self.is_over = False
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._changed = asyncio.Condition()

    async def wait(self, agent: str) -> bool:
        """Wait for the turn of `agent`; tell whether there is nothing more."""
        if self.is_over:
            return True
        mine = asyncio.get_running_loop().create_future()
        async with self._changed:
            before = self._waiting.get(agent)
            if before is not None and not before.done():
                before.cancel()  # asked again: whoever asked first is gone
            self._waiting[agent] = mine
            self._changed.notify_all()
        await mine
        return self.is_over

    async def grant(self, agent: str) -> None:
        """Let `agent` go on once it waits, and return when it waits again."""
        async with self._changed:
            await self._changed.wait_for(lambda: agent in self._waiting)
            self._waiting.pop(agent).set_result(None)
            await self._changed.wait_for(lambda: agent in self._waiting)

    async def all_wait(self, agents: list[str]) -> None:
        """Return once all of them wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: set(agents) <= set(self._waiting))

    def end(self) -> None:
        """Tell everybody that it is over."""
        self.is_over = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()
