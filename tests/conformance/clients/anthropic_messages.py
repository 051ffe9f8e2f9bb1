"""A loop over the Messages API with tools, as one writes it with `anthropic` and `mcp`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from anthropic import AsyncAnthropic
from mcp import Client

MODEL = os.environ.get("MODEL", "claude-sonnet-4-5")
TIMEOUT_S = float(os.environ.get("TIMEOUT_S", "60"))


async def ask(model: AsyncAnthropic, messages: list[Any], tools: list[Any]) -> Any:
    """Return the model's next message."""
    asked = {"model": MODEL, "max_tokens": 1000, "system": "You book rooms.", "messages": messages, "tools": tools}
    if os.environ.get("STREAM"):
        async with model.messages.stream(**asked) as stream:
            return await stream.get_final_message()
    return await model.messages.create(**asked)


async def main(goal: str) -> str:
    """Work on a goal until the model has no more wishes."""
    async with AsyncAnthropic(timeout=TIMEOUT_S) as model, Client(os.environ["MCP_URL"]) as mcp:
        tools = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
            for tool in (await mcp.list_tools()).tools
        ]
        messages: list[Any] = [{"role": "user", "content": goal}]
        while True:
            message = await ask(model, messages, tools)
            content = [block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in message.content]
            messages.append({"role": "assistant", "content": content})
            uses = [block for block in message.content if block.type == "tool_use"]
            if not uses:
                return message.content[0].text
            results = []
            for use in uses:
                result = await mcp.call_tool(use.name, use.input, read_timeout_seconds=TIMEOUT_S)
                text = "\n".join(block.text for block in result.content)
                results.append({"type": "tool_result", "tool_use_id": use.id, "content": text})
            messages.append({"role": "user", "content": results})


if __name__ == "__main__":
    print(json.dumps({"answer": asyncio.run(main(sys.argv[1]))}))
