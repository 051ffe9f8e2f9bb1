"""A loop over Chat Completions with the tools of an MCP server."""

import asyncio
import json
import os

from mcp import Client
from openai import AsyncOpenAI


async def main() -> None:
    async with AsyncOpenAI() as model, Client(os.environ["MCP_URL"]) as mcp:
        tools = [
            {"type": "function", "function": {"name": tool.name, "parameters": tool.input_schema}}
            for tool in (await mcp.list_tools()).tools
        ]
        messages = [{"role": "user", "content": "Book a room in Lisbon for two nights."}]
        while True:
            answer = await model.chat.completions.create(model="gpt-5-mini", messages=messages, tools=tools)
            message = answer.choices[0].message
            print(message.content, flush=True)
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return
            for call in message.tool_calls:
                result = await mcp.call_tool(call.function.name, json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result.content[0].text})


asyncio.run(main())
