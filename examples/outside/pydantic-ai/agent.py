"""An agent of Pydantic AI with the tools of an MCP server."""

import os

from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

hotel = MCPToolset(os.environ["MCP_URL"], read_timeout=60)
agent = Agent("openai-chat:gpt-5-mini", instructions="You book rooms.", toolsets=[hotel])
print(agent.run_sync("Book a room in Lisbon for two nights.").output)
