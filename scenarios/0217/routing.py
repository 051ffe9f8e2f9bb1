"""The third agent of 02:17: a program of its own, which knows an MCP server and nothing of Comity.

It moves traffic to the site where answers come faster. Run it with `comity run -- python routing.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from mcp import Client

SHARE_MAX = 3
AGENT = "routing"


def for_room(seen: dict[str, Any]) -> int | None:
    """Return how many quarters of the traffic should come here; None for as many as do."""
    if seen["latency_ms"] < seen["other_latency_ms"] and seen["share"] < SHARE_MAX:
        return int(seen["share"]) + 1
    return None


async def main() -> None:
    """Look and act until it is over."""
    async with Client(os.environ["COMITY_MCP_URL"]) as mcp:
        offered = [tool.name for tool in (await mcp.list_tools()).tools]

        async def call(tool: str, **args: Any) -> Any:
            name = next(name for name in offered if name.endswith(tool))
            result = await mcp.call_tool(name, args, read_timeout_seconds=600)
            text = "".join(block.text for block in result.content if block.type == "text")
            if result.is_error:
                return {"refused": text}
            return json.loads(text)

        while not (await call("next_turn", agent=AGENT))["over"]:
            share = for_room(await call("look", agent=AGENT))
            if share is not None and not (await call("next_turn", agent=AGENT))["over"]:
                print(await call("shift_traffic", service="shop", share=share), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
