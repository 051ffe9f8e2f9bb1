"""A chat loop with tools, as one writes it with `openai` and `mcp`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from mcp import Client
from openai import AsyncOpenAI

MODEL = os.environ.get("MODEL", "gpt-4.1")
TIMEOUT_S = float(os.environ.get("TIMEOUT_S", "60"))


async def ask(model: AsyncOpenAI, messages: list[Any], tools: list[Any]) -> Any:
    """Return the model's next message."""
    if os.environ.get("STREAM"):
        async with model.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as stream:
            return (await stream.get_final_completion()).choices[0].message
    return (await model.chat.completions.create(model=MODEL, messages=messages, tools=tools)).choices[0].message


async def main(goal: str) -> str:
    """Work on a goal until the model has no more wishes."""
    async with (
        AsyncOpenAI(timeout=TIMEOUT_S) as model,
        Client(os.environ["MCP_URL"]) as mcp,
    ):
        tools = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
            }
            for tool in (await mcp.list_tools()).tools
        ]
        messages: list[Any] = [{"role": "system", "content": "You book rooms."}, {"role": "user", "content": goal}]
        while True:
            message = await ask(model, messages, tools)
            messages.append(message.model_dump(include={"role", "content", "tool_calls"}, exclude_none=True))
            if not message.tool_calls:
                return message.content
            for call in message.tool_calls:
                result = await mcp.call_tool(
                    call.function.name, json.loads(call.function.arguments), read_timeout_seconds=TIMEOUT_S
                )
                text = "\n".join(block.text for block in result.content)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": text})


if __name__ == "__main__":
    print(json.dumps({"answer": asyncio.run(main(sys.argv[1]))}))
