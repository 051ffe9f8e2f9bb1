"""A hotel as an MCP server over stdio: `look` changes nothing, `book` writes a line into `bookings.txt`.

While a file `hold` lies in its folder, a guest who has booked waits for the answer: time to kill something.
"""

from __future__ import annotations

import time
from pathlib import Path

from mcp.server.mcpserver import MCPServer

BOOKINGS, HOLD = Path("bookings.txt"), Path("hold")
server = MCPServer("hotel", version="1.0.0", log_level="WARNING")


@server.tool()
def look(city: str) -> str:
    """Look whether a room is free in a city."""
    return f"There is a free room in {city}."


@server.tool()
def book(city: str, nights: int) -> str:
    """Book a room. Called twice, it books two."""
    with BOOKINGS.open("a", encoding="utf-8") as file:
        file.write(f"{city}, {nights} nights\n")
    while HOLD.exists():
        time.sleep(0.05)
    return f"A room in {city} is booked for {nights} nights."


if __name__ == "__main__":
    server.run("stdio")
