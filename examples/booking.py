"""One act, however often it is thought of: a business key holds against rethinking, other words and other tasks.

`once=["guest", "night"]` says what makes two bookings the same act. `NotHappened` says that nothing was booked, which
frees the key and lets the agent think of something else.

Run it: `python examples/booking.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from typing import Any

from comity import Context, NotHappened, Refused, agent, tool
from comity.journal.program import offered_by
from comity.runtime.embedded import Embedded
from comity.stores.open import open_store
from comity.testing import ScriptedModel

FULL = {"Friday"}
booked: list[str] = []
"""The hotel's book."""
wishes = itertools.cycle(("a quiet room", "a room with a view"))
letters = itertools.count()


@tool(effect="irreversible", once=["guest", "night"], once_per="tenant")
def book_room(guest: str, night: str, wish: str) -> str:
    """Book a room for a night. There is no way back."""
    if night in FULL:
        raise NotHappened(f"the house is full on {night}")
    booked.append(f"{guest}, {night}, {wish}")
    return f"room {len(booked)}"


def moody(_messages: list[dict[str, Any]]) -> str:
    """Wish for something else when it is asked again, as a model may."""
    return next(wishes)


mind = ScriptedModel(moody)


@agent(model=mind, tools=[book_room])
async def traveller(context: Context) -> str:
    """Book the first night that is free, then write home."""
    wish = (await context.think("What kind of room?")).text
    for night in ("Friday", "Saturday"):
        try:
            room = await context.act(book_room, guest=context.goal, night=night, wish=wish)
        except NotHappened:
            continue
        except Refused as refusal:
            room = f"the room that is booked ({refusal.code})"
        if next(letters) == 0:
            raise OSError("the pen broke")
        return f"{room}, {night}"
    return "no room"


async def main(url: str) -> list[str]:
    """Let the traveller fail after it has booked, think again, and then try the same as another task."""
    store = open_store(url)
    await store.open()
    try:
        async with Embedded(offered_by(traveller), store) as node:
            first = await node.create("traveller", "Anna")
            failed = await node.left(first)
            await node.orders.retry(first, "rethink")
            again = await node.result(first)
            other = await node.result(await node.create("traveller", "Anna"))
            return [f"{failed.state}", again, other]
    finally:
        await store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(asyncio.run(main(f"sqlite:///{folder}/comity.db"))))
    print(f"the hotel's book: {booked}")
