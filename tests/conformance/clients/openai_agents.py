"""An agent of the OpenAI Agents SDK with tools at an MCP server; `API` chooses the wire format."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from agents import Agent, Runner, set_default_openai_api, set_default_openai_client
from agents.mcp import MCPServerStreamableHttp
from openai import AsyncOpenAI

TIMEOUT_S = float(os.environ.get("TIMEOUT_S", "60"))


async def main(goal: str) -> str:
    """Work on a goal."""
    set_default_openai_client(AsyncOpenAI(timeout=TIMEOUT_S), use_for_tracing=False)
    set_default_openai_api(os.environ.get("API", "responses"))
    tools = MCPServerStreamableHttp({"url": os.environ["MCP_URL"]}, client_session_timeout_seconds=TIMEOUT_S)
    async with tools:
        agent = Agent(
            "clerk", instructions="You book rooms.", model=os.environ.get("MODEL", "gpt-4.1"), mcp_servers=[tools]
        )
        if not os.environ.get("STREAM"):
            return str((await Runner.run(agent, goal)).final_output)
        running = Runner.run_streamed(agent, goal)
        async for _ in running.stream_events():
            pass
        return str(running.final_output)


if __name__ == "__main__":
    print(json.dumps({"answer": asyncio.run(main(sys.argv[1]))}))
