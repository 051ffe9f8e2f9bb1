"""The tools of the conformance tests as a tool file: the same acts, in hands of the node."""

from __future__ import annotations

from comity.agents.tool import tool
from comity.journal.call import CallContext
from tally.client import Tally


@tool(effect="read")
def look(ref: str) -> str:
    """Look whether a room is free."""
    Tally().ask("pass", gate=f"look {ref}")
    return f"found {ref}"


@tool(effect="irreversible")
def book(ref: str, nights: int) -> str:
    """Book a room: nothing tells one booking from another."""
    Tally().act("book", "", {"ref": ref, "nights": nights})
    return f"booked {ref}"


@tool(effect="idempotent")
def pay(ref: str, amount: int, call: CallContext) -> str:
    """Pay: with its key, the same payment is made once."""
    Tally().act("pay", call.key, {"ref": ref, "amount": amount}, by_key=True)
    return f"paid {ref}"
