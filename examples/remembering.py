"""A session that remembers: two tasks of one agent share a conversation, over the end of the process between them.

Run it: `python examples/remembering.py`. The first task learns something, the second is asked for it.
"""

from __future__ import annotations

import re
import tempfile
from typing import Any

import comity
from comity import Agent
from comity.testing import ScriptedModel

LIVES = re.compile(r"I live in (\w+)")


def attentive(messages: list[dict[str, Any]]) -> str:
    """Answer from what the conversation holds, as a model does."""
    said = [str(message["content"]) for message in messages if message["role"] == "user"]
    if LIVES.search(said[-1]):
        return "Thank you, I will remember that."
    towns = [found[1] for text in said if (found := LIVES.search(text))]
    return f"You live in {towns[-1]}." if towns else "You have not told me."


mind = ScriptedModel(attentive)
concierge = Agent("concierge", "You are a concierge. You answer briefly.", mind)


def main(store: str) -> list[str]:
    """Run three tasks, two of them in one session, and return their answers."""
    return [
        comity.run(concierge, "Good morning. I live in Lisbon.", store=store, session="anna"),
        comity.run(concierge, "Where do I live?", store=store, session="anna"),
        comity.run(concierge, "Where do I live?", store=store, session="ben"),
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        first, second, other = main(f"sqlite:///{folder}/comity.db")
    print(f"anna, first task:  {first}")
    print(f"anna, second task: {second}")
    print(f"ben:               {other}")
