"""A graph of LangGraph with the tools of an MCP server."""

import asyncio
import os

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


async def main() -> None:
    hotel = MultiServerMCPClient({"hotel": {"transport": "streamable_http", "url": os.environ["MCP_URL"]}})
    tools = await hotel.get_tools()
    model = ChatOpenAI(model="gpt-5-mini", streaming=True).bind_tools(tools)

    async def clerk(state: MessagesState) -> dict:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("clerk", clerk)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "clerk")
    graph.add_conditional_edges("clerk", tools_condition)
    graph.add_edge("tools", "clerk")
    asked = [("user", "Book a room in Lisbon for two nights.")]
    print((await graph.compile().ainvoke({"messages": asked}))["messages"][-1].text)


asyncio.run(main())
