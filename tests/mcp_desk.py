"""A hand that reaches one MCP server, and a register that plays the catalog."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from comity.core.codec import canonical, decode
from comity.hands.masks import Masks
from comity.hands.mcp import McpHand
from comity.hands.mcp_descriptor import Descriptor
from comity.hands.mcp_settings import McpUpstream
from comity.journal.call import Attempt, Call, Permit
from comity.journal.spec import ToolSpec
from comity.runtime.kept import KeptSettings
from comity.runtime.upstreams import Ways, secrets_of
from comity.testing.waiting import wait_until
from mcp_upstream import SECRET, served, stdio_command
from staging import CLOCK, new_task, permit

KINDS = ("stdio", "http")


class Register:
    """What was offered, and which calls the test refuses."""

    def __init__(self) -> None:
        self.offered: list[tuple[str, Sequence[Descriptor]]] = []
        self.refuses: Attempt | None = None
        self.seen: list[Descriptor | None] = []

    async def is_known(self, server: str, identity: str) -> bool:
        return False

    async def listed(self, server: str, identity: str, descriptors: Sequence[Descriptor]) -> None:
        self.offered.append((identity, descriptors))

    def refusal(self, tool: ToolSpec, offered: Descriptor | None) -> Attempt | None:
        self.seen.append(offered)
        return self.refuses

    @property
    def names(self) -> set[str]:
        return {item.name for item in self.offered[-1][1]}


class Desk:
    """A hand that reaches one server, named `crm`, and what it did."""

    def __init__(self, hand: McpHand, register: Register, marks: Path, said: list[str]) -> None:
        self.hand = hand
        self.register = register
        self.marks = marks
        self.said = said
        self.told: list[tuple[str, float | None]] = []
        self.serving: Any = None

    async def perform(
        self, tool: str, with_permit: Permit | None = None, branch: str = "", args: bytes | None = None, **given: Any
    ) -> Attempt:
        options = {name[1:]: given.pop(name) for name in list(given) if name.startswith("_")}
        spec = ToolSpec(f"crm.{tool}", server="crm", **options)
        call = Call(branch, "tool", spec.name, 0, canonical(given) if args is None else args)
        return await self.hand.perform(with_permit or permit(new_task()), call, spec, self._tell)

    def _tell(self, text: str, fraction: float | None) -> None:
        self.told.append((text, fraction))

    def marked(self, name: str) -> list[str]:
        file = self.marks / name
        return file.read_text().split("\n")[:-1] if file.exists() else []

    async def under_way(self, name: str, tool: str, **given: Any) -> tuple[Permit, asyncio.Task[Attempt]]:
        """Begin a call, and return when its tool has left the mark `name`."""
        mine = given.pop("with_permit", None) or permit(new_task())
        work = asyncio.create_task(self.perform(tool, mine, **given))
        await wait_until(lambda: self.marked(name) or work.done())
        return mine, work


@asynccontextmanager
async def desk(kind: str, folder: Path, *, wait_s: float = 30.0, **changes: Any) -> AsyncIterator[Desk]:
    said: list[str] = []
    register = Register()
    environment = {**os.environ, "MCP_MARKS": str(folder), "CRM_TOKEN": SECRET, "CRM_AUTH": f"Bearer {SECRET}"}
    settings = KeptSettings(lambda _who, line: said.append(line), str(folder))

    def made(**how: Any) -> Desk:
        upstreams = {"crm": msgspec.structs.replace(McpUpstream("mcp", **how), **changes)}
        masks = Masks(secrets_of(upstreams, environment))
        return Desk(McpHand(upstreams, Ways(environment, settings), register, CLOCK, masks), register, folder, said)

    if kind == "stdio":
        found = made(command=tuple(stdio_command()), env=("MCP_MARKS", "CRM_TOKEN"))
        async with _open(found, wait_s):
            yield found
        return
    async with served(folder) as serving:
        found = made(url=serving.url, headers_env={"Authorization": "CRM_AUTH"})
        found.serving = serving
        async with _open(found, wait_s):
            yield found


@asynccontextmanager
async def _open(found: Desk, wait_s: float) -> AsyncIterator[None]:
    await found.hand.start(wait_s)
    try:
        yield
    finally:
        await found.hand.close()


def shown(attempt: Attempt) -> Any:
    assert attempt.end == "done", attempt
    return decode(attempt.value)
