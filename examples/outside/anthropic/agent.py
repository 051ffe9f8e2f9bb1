"""A loop over Messages, streamed, with the tools of an MCP server."""

import asyncio
import os

from anthropic import AsyncAnthropic
from mcp import Client


async def main() -> None:
    async with AsyncAnthropic() as model, Client(os.environ["MCP_URL"]) as mcp:
        tools = [{"name": tool.name, "input_schema": tool.input_schema} for tool in (await mcp.list_tools()).tools]
        messages = [{"role": "user", "content": "Book a room in Lisbon for two nights."}]
        asked = {"model": "claude-sonnet-4-5", "max_tokens": 1000, "tools": tools}
        while True:
            async with model.messages.stream(**asked, messages=messages) as stream:
                answer = await stream.get_final_message()
            print(answer.content[0].text)
            content = [block.model_dump(include={"type", "text", "id", "name", "input"}) for block in answer.content]
            messages.append({"role": "assistant", "content": content})
            results = []
            for use in answer.content:
                if use.type == "tool_use":
                    result = await mcp.call_tool(use.name, use.input)
                    results.append({"type": "tool_result", "tool_use_id": use.id, "content": result.content[0].text})
            if not results:
                return
            messages.append({"role": "user", "content": results})


asyncio.run(main())
