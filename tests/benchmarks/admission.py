"""Admission in memory: judgements a second, median and 99th percentile, in a world of many fields and invariants.

1,000 agents, each of which touches a service of its own and now and then one of somebody else; what they do is in
flight for a while and then settles. Nothing is stored, nothing waits: this is the engine alone, on one core.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from comity.coordination.admission import Admission
from comity.coordination.document import (
    Aggregate,
    DependencySection,
    FieldSection,
    InvariantSection,
    KindSection,
    ResourceSection,
    ToolSection,
    TouchSection,
    WorldDocument,
)
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal
from comity.coordination.world import World

AGENTS = 1_000
SERVICES, POOLS = 2_480, 40
JUDGEMENTS_FULL, JUDGEMENTS_QUICK = 50_000, 5_000
IN_FLIGHT = 200


@dataclass
class AdmissionFigures:
    """What a run showed: sizes, judgements a second, times in microseconds of this thread's CPU, verdicts."""

    agents: int
    fields: int
    invariants: int
    judgements: int
    per_s: float = 0.0
    median_us: float = 0.0
    p99_us: float = 0.0
    load: float = 0.0
    words: dict[str, int] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Return the figures as text."""
        sizes = f"{self.agents:,} agents, {self.fields:,} fields, {self.invariants:,} invariants"
        yield f"admission: {self.judgements:,} judgements in memory, by CPU time ({sizes}, {IN_FLIGHT} in flight)"
        yield f"  {self.per_s:,.0f} a second; median {self.median_us:.0f} us, p99 {self.p99_us:.0f} us"
        yield f"  {', '.join(f'{word} {count:,}' for word, count in sorted(self.words.items()))}; load {self.load:.1f}"


def world() -> World:
    """Return the world: services in pools, each with four fields, of which two are bounded and one follows another."""
    fields = {
        "instances": FieldSection(type="integer", low=0, high=50, initial=4),
        "load": FieldSection(low=0, initial=100.0),
        "weight": FieldSection(type="integer", initial=10),
        "state": FieldSection(type="text", values=("up", "down", "drained"), initial="up"),
    }
    invariants = {
        "capacity": InvariantSection(
            {"n": "service/{pool}/{name}.instances", "load": "service/{pool}/{name}.load"},
            "load <= n * 100",
            mode="enforce",
        ),
        "pool": InvariantSection(
            {"used": Aggregate(sum="service/{pool}/*.instances"), "most": "pool/{pool}.most"},
            "used <= most",
            mode="enforce",
        ),
        "drains": InvariantSection(
            {"n": Aggregate(count="service/{pool}/*.state", within="60s")}, "n <= 20", mode="enforce"
        ),
    }
    name = "service/{pool}/{name}"
    return World(
        WorldDocument(
            kinds={
                "service": KindSection("service/{pool}/{name}", fields),
                "pool": KindSection("pool/{pool}", {"most": FieldSection(type="integer", initial=300)}),
            },
            resources={
                **{f"service/p{place % POOLS}/s{place}": ResourceSection() for place in range(SERVICES)},
                **{f"pool/p{place}": ResourceSection() for place in range(POOLS)},
            },
            dependencies=(DependencySection(f"{name}.weight", f"{name}.load", gain=5.0, lag_s=10.0),),
            invariants=invariants,
            tools={
                "scale": ToolSection(touches=(TouchSection(f"{name}.instances", "add", "by"),), trim="by"),
                "shift": ToolSection(touches=(TouchSection(f"{name}.weight", "add", "by"),)),
                "drain": ToolSection(touches=(TouchSection(f"{name}.state", "set", "'drained'"),)),
            },
        )
    )


def observe(*, is_quick: bool) -> AdmissionFigures:
    """Judge and time."""
    picture = Picture(world())
    admission = Admission(picture.world, picture)
    keys = {item.key for name in picture.fields for item in picture.instances(name)}
    count = JUDGEMENTS_QUICK if is_quick else JUDGEMENTS_FULL
    figures = AdmissionFigures(AGENTS, len(picture.fields), len(keys), count, load=os.getloadavg()[0])
    pick, words, times, flying = random.Random(7), Counter[str](), list[float](), list[str]()
    now_us = 10**12
    for number in range(count):
        agent = pick.randrange(AGENTS)
        place = agent if pick.random() < 0.9 else pick.randrange(SERVICES)
        tool = pick.choice(("scale", "shift", "shift", "drain"))
        args = {"pool": f"p{place % POOLS}", "name": f"s{place}"} | ({"by": pick.choice((-2, -1, 1, 2))})
        asked = Proposal(
            call=f"t{agent}/{number}", ticket=f"k{number}", task=f"t{agent}", actor=f"a{agent}", tool=tool, args=args
        )
        began = time.thread_time_ns()
        ruling = admission.judge(asked, now_us)
        times.append((time.thread_time_ns() - began) / 1e3)
        assert ruling is not None
        words[ruling.word] += 1
        if ruling.flight is not None:
            flying.append(asked.ticket)
        while len(flying) > IN_FLIGHT:
            admission.settle(flying.pop(0), pick.choice(("done", "done", "failed")), now_us)
        now_us += 5_000
        for flight in picture.matured(now_us) if number % 50 == 0 else ():
            picture.land(flight)
    figures.per_s = 1e6 / statistics.fmean(times)
    figures.median_us, figures.p99_us = statistics.median(times), statistics.quantiles(times, n=100)[98]
    figures.words = dict(words)
    return figures
