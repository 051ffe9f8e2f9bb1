"""An agent of the OpenAI Agents SDK with the tools of an MCP server."""

import asyncio
import os

from agents import Agent, Runner
from agents.mcp import MCPServerStreamableHttp


async def main() -> None:
    async with MCPServerStreamableHttp({"url": os.environ["MCP_URL"]}, client_session_timeout_seconds=60) as hotel:
        agent = Agent("clerk", instructions="You book rooms.", model="gpt-5-mini", mcp_servers=[hotel])
        result = await Runner.run(agent, "Book a room in Lisbon for two nights.")
        print(result.final_output)


asyncio.run(main())
