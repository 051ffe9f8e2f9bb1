"""A small world for the tests of admission, and ways to ask it."""

from __future__ import annotations

from typing import Any

import msgspec

from comity.coordination.admission import Admission
from comity.coordination.document import (
    Aggregate,
    FieldSection,
    InvariantSection,
    KindSection,
    ToolSection,
    TouchSection,
    WorldDocument,
)
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal, Ruling
from comity.coordination.world import World
from comity.journal.world import Observation

S = 1_000_000
NOW = 1_000 * S
N, LOAD, MODE, GEN, TAGS = "svc/a.n", "svc/a.load", "svc/a.mode", "svc/a.gen", "svc/a.tags"


def document(**changes: Any) -> WorldDocument:
    """Return the small world's file, with some sections changed."""
    fields = {
        "n": FieldSection(type="integer", low=0, high=10, initial=4, settle_s=5),
        "load": FieldSection(initial=10.0),
        "mode": FieldSection(type="text", values=("up", "down"), initial="up"),
        "gen": FieldSection(type="integer", generation=True),
        "tags": FieldSection(type="set", initial=()),
    }
    name = "svc/{name}"
    made = WorldDocument(
        kinds={"svc": KindSection("svc/{name}", fields)},
        invariants={"total": InvariantSection({"t": Aggregate(sum="svc/*.n")}, "t <= 12", mode="enforce")},
        tools={
            "scale": ToolSection(touches=(TouchSection(f"{name}.n", "add", "by"),), trim="by"),
            "size": ToolSection(touches=(TouchSection(f"{name}.n", "set", "to"),)),
            "switch": ToolSection(touches=(TouchSection(f"{name}.mode", "set", "to"),)),
            "plan": ToolSection(touches=(TouchSection(f"{name}.gen", "set", "to"),)),
            "tag": ToolSection(touches=(TouchSection(f"{name}.tags", "append", "tag"),)),
            "untag": ToolSection(touches=(TouchSection(f"{name}.tags", "remove", "tag"),)),
        },
    )
    return msgspec.structs.replace(made, **changes)


class Desk:
    """Admission over a picture of its own, and who asks it."""

    def __init__(self, **changes: Any) -> None:
        self.world = World(document(**changes))
        self.picture = Picture(self.world)
        self.admission = Admission(self.world, self.picture)
        self.now = NOW

    def ask(self, ticket: str, tool: str, args: dict[str, Any] | None = None, **more: Any) -> Ruling:
        """Propose a call on `svc/a` (or the `name` given)."""
        asked = Proposal(
            **{"call": ticket, "task": "t", "actor": "bot", **more},
            ticket=ticket,
            tool=tool,
            args={"name": "a", **(args or {})},
        )
        ruling = self.admission.judge(asked, self.now)
        assert ruling is not None
        return ruling

    def see(self, field: str, value: Any, at: int | None = None, until: int = 0) -> bool:
        """Tell what a field was seen to be."""
        at_us = self.now if at is None else at
        return self.picture.observe(Observation(field, value, at_us, until_us=until), may_observe=True)

    def done(self, ticket: str, after_s: float = 0.0) -> None:
        """Say that an act happened, and let time pass."""
        self.admission.settle(ticket, "done", self.now)
        self.now += round(after_s * S)

    def land(self) -> list[str]:
        """Let what has settled become part of the values."""
        over = self.picture.matured(self.now)
        for flight in over:
            self.picture.land(flight)
        return [flight.ticket for flight in over]
