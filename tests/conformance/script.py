"""What the scripted model thinks: a pure function of the conversation, the same in every wire format.

A goal names a reference; the model looks, books and pays, one act a thought, and proposes an act again until its sign
is among the tools' results. `twins` in the goal makes it book two rooms in one thought.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

GOAL = "Book a room, reference {ref}."
TWINS = "Book twins rooms, reference {ref}."
RESULTS_MAX = 8
"""After so many tool results the model gives up: no test can go on for ever."""


class Use(NamedTuple):
    """A tool that the model wants used, and the sign in a result by which it knows that this is done."""

    tool: str
    args: dict[str, Any]
    sign: str


class Thought(NamedTuple):
    """What the model says, and the tools that it wants used; none where this is its last word."""

    text: str
    uses: tuple[Use, ...] = ()


def reference(text: str) -> str:
    """Return the reference that a goal names, empty where it names none."""
    found = re.search(r"reference ([\w-]+)", text)
    return found[1] if found else ""


def rounds(goal: str) -> list[list[Use]]:
    """Return what is to be done for a goal, round by round."""
    ref = reference(goal)
    rooms = [f"{ref}-a", f"{ref}-b"] if "twins" in goal else [ref]
    return [
        [Use("look", {"ref": ref}, f"found {ref}")],
        [Use("book", {"ref": room, "nights": 2}, f"booked {room}") for room in rooms],
        [Use("pay", {"ref": ref, "amount": 200}, f"paid {ref}")],
    ]


def think(goal: str, results: Sequence[str]) -> Thought:
    """Return the next thought."""
    if len(results) > RESULTS_MAX:
        return Thought(f"I give up on {reference(goal)}: {results[-1]}")
    for uses in rounds(goal):
        missing = tuple(use for use in uses if not any(use.sign in result for result in results))
        if missing:
            return Thought(f"Now I will {missing[0].tool} what you asked for.", missing)
    return Thought(answer(reference(goal)))


def answer(ref: str) -> str:
    """Return the last word where everything went well."""
    return f"Your room is booked and paid, {ref}."
