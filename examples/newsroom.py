"""An editor who delegates and waits: children with budgets of their own, a timer, a signal, a question to a person.

Each wait holds no worker and outlives the process; each child may spend only what its parent carved out for it.

Run it: `python examples/newsroom.py`. It plays the outside world too: the press that gives its signal, the person who
answers. Without it they would be `comity tasks signal TASK press` and `comity questions answer …`.
"""

from __future__ import annotations

import asyncio
import tempfile
from typing import Any

from comity import Budget, Context, agent, tool
from comity.core.ids import Id
from comity.journal.program import offered_by
from comity.runtime.embedded import Embedded
from comity.runtime.orders import Question
from comity.stores.open import open_store
from comity.testing import ScriptedModel
from comity.testing.waiting import wait_until

ARCHIVE = {"harbour": ["A new crane", "Two ships from Bergen"], "weather": ["Rain until Thursday"]}


@tool(effect="read")
def look_up(topic: str, page: int) -> str:
    """Return one page of the archive; an empty text after the last."""
    pages = ARCHIVE.get(topic, [])
    return pages[page] if page < len(pages) else ""


def headline(messages: list[dict[str, Any]]) -> str:
    """Make a headline of what was found."""
    return str(messages[-1]["content"]).upper()


writer = ScriptedModel(headline)


@agent(model=writer, tools=[look_up])
async def reporter(context: Context) -> str:
    """Find out about a topic, and write one line on it."""
    found = []
    for page in range(10):
        text = await context.act(look_up, topic=context.goal, page=page)
        if not text:
            break
        found.append(text)
    answer = await context.think("; ".join(found))
    return answer.text


@agent(model=writer, tools=[look_up], agents=[reporter])
async def editor(context: Context) -> dict[str, Any]:
    """Have each topic written on, wait for the press, and publish what a person approves."""
    share = Budget(tokens=20_000, calls={"read": 5})
    children = [await context.spawn(reporter, topic, budget=share) for topic in context.goal]
    lines = await context.gather(*children)
    await context.sleep(0.05)
    press = await context.wait_signal("press")
    answer = await context.ask_human(f"Publish {len(lines)} lines on {press}?", options=["yes", "no"])
    return {"lines": lines if answer == "yes" else [], "press": press}


async def main(url: str) -> dict[str, Any]:
    """Run the editor, and be the press and the person."""
    store = open_store(url)
    await store.open()
    try:
        async with Embedded(offered_by(editor), store) as node:
            budget = Budget(tokens=100_000, calls={"read": 20})
            task = await node.create("editor", list(ARCHIVE), budget=budget)
            await node.orders.signal(task, "press", "press 2")
            await answered(node, task)
            result: dict[str, Any] = await node.result(task)
            return result
    finally:
        await store.close()


async def answered(node: Embedded, task: Id) -> None:
    """Wait for the editor's question, and answer it."""
    questions: list[Question] = await wait_until(node.orders.questions, what="the question")
    question = questions[0]
    print(f"{question.agent} asks: {question.question}")
    await node.orders.answer(task, question.call, "yes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        printed = asyncio.run(main(f"sqlite:///{folder}/comity.db"))
    print("\n".join(printed["lines"]))
