"""A program without a model: a fixed list of tool calls, as one writes it with `mcp`; `ERA` pins the protocol."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys

from mcp import Client


async def main(goal: str) -> str:
    """Look, book and pay."""
    ref = re.search(r"reference ([\w-]+)", goal)[1]
    timeout_s = float(os.environ.get("TIMEOUT_S", "60"))
    async with Client(os.environ["MCP_URL"], mode=os.environ.get("ERA", "auto")) as mcp:
        names = {re.split(r"[._/-]+", tool.name)[-1]: tool.name for tool in (await mcp.list_tools()).tools}
        said = []
        for tool, args in (("look", {}), ("book", {"nights": 2}), ("pay", {"amount": 200})):
            result = await mcp.call_tool(names[tool], {"ref": ref, **args}, read_timeout_seconds=timeout_s)
            said.append("\n".join(block.text for block in result.content))
        done = said == [f"found {ref}", f"booked {ref}", f"paid {ref}"]
        return f"Your room is booked and paid, {ref}." if done else f"something is wrong: {said}"


if __name__ == "__main__":
    print(json.dumps({"answer": asyncio.run(main(sys.argv[1]))}))
