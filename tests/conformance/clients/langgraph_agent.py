"""A graph of LangGraph whose model comes from `langchain-openai` and whose tools from `langchain-mcp-adapters`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from typing import Any

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

TIMEOUT_S = float(os.environ.get("TIMEOUT_S", "60"))


async def main(goal: str) -> str:
    """Work on a goal."""
    hotel = MultiServerMCPClient(
        {
            "hotel": {
                "transport": "streamable_http",
                "url": os.environ["MCP_URL"],
                "session_kwargs": {"read_timeout_seconds": timedelta(seconds=TIMEOUT_S)},
            }
        }
    )
    tools = await hotel.get_tools()
    model = ChatOpenAI(
        model=os.environ.get("MODEL", "gpt-4.1"),
        timeout=TIMEOUT_S,
        streaming=bool(os.environ.get("STREAM")),
        use_responses_api=os.environ.get("API") == "responses",
    ).bind_tools(tools)

    async def clerk(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("clerk", clerk)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "clerk")
    graph.add_conditional_edges("clerk", tools_condition)
    graph.add_edge("tools", "clerk")
    asked = [("system", "You book rooms."), ("user", goal)]
    ended = await graph.compile().ainvoke({"messages": asked})
    return ended["messages"][-1].text


if __name__ == "__main__":
    print(json.dumps({"answer": asyncio.run(main(sys.argv[1]))}))
