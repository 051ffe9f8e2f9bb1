"""The tools of the conformance tests as an MCP server of its own, which reports what it does to the tally.

Run as `python -m conformance.tools` (streamable HTTP; it prints its port) or `python -m conformance.tools stdio`.
"""

from __future__ import annotations

import logging
import sys

from mcp.server.mcpserver import MCPServer

from conformance.serving import act, serve, tell_tally

server = MCPServer("hotel", version="1.0.0", log_level="WARNING")


@server.tool()
async def look(ref: str) -> str:
    """Look whether a room is free."""
    await tell_tally("pass", gate=f"look {ref}")
    return f"found {ref}"


@server.tool()
async def book(ref: str, nights: int) -> str:
    """Book a room: nothing tells one booking from another."""
    await act("book", {"ref": ref, "nights": nights})
    return f"booked {ref}"


@server.tool()
async def pay(ref: str, amount: int, key: str = "") -> str:
    """Pay: with a key, the same payment is made once."""
    await act("pay", {"ref": ref, "amount": amount}, key)
    return f"paid {ref}"


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    if sys.argv[1:] == ["stdio"]:
        server.run("stdio")
    else:
        serve(server.streamable_http_app())
