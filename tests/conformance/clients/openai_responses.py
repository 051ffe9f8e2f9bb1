"""A loop over the Responses API with tools, as one writes it with `openai` and `mcp`."""

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


async def ask(model: AsyncOpenAI, items: list[Any], tools: list[Any]) -> Any:
    """Return the model's next response."""
    if os.environ.get("STREAM"):
        async with model.responses.stream(model=MODEL, input=items, tools=tools, store=False) as stream:
            return await stream.get_final_response()
    return await model.responses.create(model=MODEL, input=items, tools=tools, store=False)


async def main(goal: str) -> str:
    """Work on a goal until the model has no more wishes."""
    async with (
        AsyncOpenAI(timeout=TIMEOUT_S) as model,
        Client(os.environ["MCP_URL"]) as mcp,
    ):
        tools = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.input_schema,
                "strict": False,
            }
            for tool in (await mcp.list_tools()).tools
        ]
        items: list[Any] = [{"role": "developer", "content": "You book rooms."}, {"role": "user", "content": goal}]
        while True:
            response = await ask(model, items, tools)
            items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return response.output_text
            for call in calls:
                result = await mcp.call_tool(call.name, json.loads(call.arguments), read_timeout_seconds=TIMEOUT_S)
                text = "\n".join(block.text for block in result.content)
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": text})


if __name__ == "__main__":
    print(json.dumps({"answer": asyncio.run(main(sys.argv[1]))}))
