"""An agent of Pydantic AI with tools at an MCP server; `MODEL` names provider, wire format and model."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterable

from pydantic_ai import Agent, AgentStreamEvent, RunContext
from pydantic_ai.mcp import MCPToolset

TIMEOUT_S = float(os.environ.get("TIMEOUT_S", "60"))


async def watch(_context: RunContext[None], events: AsyncIterable[AgentStreamEvent]) -> None:
    """Take each event of a stream as it comes."""
    async for _ in events:
        pass


async def main(goal: str) -> str:
    """Work on a goal."""
    agent = Agent(
        os.environ.get("MODEL", "openai-chat:gpt-4.1"),
        instructions="You book rooms.",
        model_settings={"timeout": TIMEOUT_S},
        toolsets=[MCPToolset(os.environ["MCP_URL"], read_timeout=TIMEOUT_S)],
    )
    return (await agent.run(goal, event_stream_handler=watch if os.environ.get("STREAM") else None)).output


if __name__ == "__main__":
    print(json.dumps({"answer": asyncio.run(main(sys.argv[1]))}))
