"""Three agents at 02:17, each rational: their events, and what is declared of their world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comity.coordination.causality.declared import Bound, Habit, Influence
from comity.coordination.causality.linked import Linked
from comity.journal.world import Acted, Change, Read, Seen, Settled, WorldEvent

APP, DB, SHARE, UTIL = "app/web.instances", "db/main.instances", "edge/main.share", "db/main.utilisation"
SECOND = 1_000_000
BEGIN = 1_760_926_500 * SECOND  # 02:15:00


class Plant:
    """What is declared of the three agents' world."""

    def changes(self, tool: str, args: Mapping[str, Any]) -> Sequence[Change]:
        field = {"scale": APP, "shed": DB, "shift": SHARE}[tool]
        return (Change(field, "set", args["to"], before=args.get("from")),)

    def rests_on(self, tool: str, args: Mapping[str, Any]) -> Sequence[str]:
        return {"scale": (SHARE,), "shed": (UTIL,), "shift": (APP,)}[tool]

    def is_declared(self, tool: str) -> bool:
        return tool in {"scale", "shed", "shift"}

    def influences(self, field: str) -> Sequence[Influence]:
        return (Influence(APP, UTIL, gain=-0.05, lag_s=30.0),) if field == APP else ()

    def bounds(self, field: str) -> Sequence[Bound]:
        fields = (APP, DB, SHARE)
        return (Bound("connections", fields, mode="enforce", holds="a * r <= d * 200"),) if field in fields else ()

    def habits(self) -> Sequence[Habit]:
        return (
            Habit("performance", (SHARE,), (APP,)),
            Habit("cost", (UTIL, DB), (DB,)),
            Habit("routing", (APP, DB), (SHARE,)),
        )


def events() -> list[WorldEvent | Linked]:
    """Four rounds of them: scale up, shed, shift; each reads what another wrote."""
    found: list[WorldEvent | Linked] = [
        Linked(BEGIN, "person:ann", task, "spawned") for task in ("perf-1", "cost-1", "route-1")
    ]
    app, db, share = 1, 1, 1
    for turn in range(4):
        at = BEGIN + (30 + 40 * turn) * SECOND
        seen = f"obs-{turn}"
        found.append(Seen(at, UTIL, 0.5 - turn / 10, version=turn + 1, by="agent:probe", id=seen))
        acts = (
            (5, "perf-1", "performance", "scale", Change(APP, "set", 6 + 2 * turn, after=6 + 2 * turn, version=app + 1),
             (Read(SHARE, share),), ""),
            (15, "cost-1", "cost", "shed", Change(DB, "add", -1, after=3 - turn, version=db + 1),
             (Read(UTIL, turn + 1), Read(DB, db)), seen),
            (25, "route-1", "routing", "shift", Change(SHARE, "set", 40 + turn * 10, after=40 + turn * 10,
             version=share + 1), (Read(APP, app + 1), Read(DB, db + 1)), ""),
        )  # fmt: skip
        for later, task, actor, tool, change, reads, observation in acts:
            call = f"{task}/{turn + 1}"
            moment = at + later * SECOND
            found.append(Acted(moment, call, actor, tool, (change,), reads, observation=observation, task=task))
            found.append(Settled(moment + SECOND, call, "happened"))
        app, db, share = app + 1, db + 1, share + 1
    return found
