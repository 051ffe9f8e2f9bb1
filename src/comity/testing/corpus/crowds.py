"""Stories of too many at once, modelled after `recovery-herd`, service healing, `herd`, `deschedule`."""

from __future__ import annotations

from collections.abc import Sequence

from comity.testing.corpus.script import Deed, FieldFacts, Script, Stories

BENIGN: Sequence[str] = ()


# ---- what causes what


def healing_that_spreads(script: Script) -> Sequence[str]:
    """Moving a service off a sick host makes the next host sick: each act causes more than one other."""
    fields = _hosts(script, script.count(8, 14))
    borne = script.count(45, 80)
    wave = [(script.between(100, 1200), "", 0)]
    calls: list[str] = []
    actors: list[str] = []
    first = 0
    while wave and len(calls) < borne + 10:
        wave.sort()
        at_s, cause, depth = wave.pop(0)
        actor = f"healer-{script.count(1, len(fields))}"
        field = script.chance.choice(fields)
        call = script.act(at_s, Deed(actor, "move", field, script.count(-4, 4), "add", caused_by=cause))
        calls.append(call)
        actors.append(actor)
        first = script.number_of(call) if len(calls) == 8 else first
        children = script.chance.choice((1, 1, 2, 2, 3)) if len(wave) > 2 else script.count(2, 3)
        wave += [(at_s + script.between(4, 40), call, depth + 1) for _ in range(children)]
    script.label(first, script.number_of(calls[borne], outcome=True))
    return actors


def _hosts(script: Script, count: int) -> list[str]:
    return [script.field(f"host/{number}.services", 20, FieldFacts(5.0)) for number in range(count)]


def healing_that_ends(script: Script) -> Sequence[str]:
    """Each move causes less than one other: a few small trees, which end by themselves."""
    fields = _hosts(script, 10)
    for _ in range(script.count(3, 6)):
        wave = [(script.between(100, 2500), "")]
        for _ in range(14):
            if not wave:
                break
            at_s, cause = wave.pop(0)
            deed = Deed(
                f"healer-{script.count(1, 10)}", "move", script.chance.choice(fields), 1, "add", caused_by=cause
            )
            call = script.act(at_s, deed)
            children = script.chance.choice((0, 0, 1, 1, 1)) if cause else 2
            wave += [(at_s + script.between(4, 25), call) for _ in range(children)]
    return BENIGN


def fan_out(script: Script) -> Sequence[str]:
    """One approved plan is fanned out to thirty workers."""
    lead = script.field("index/main.generation", 1, FieldFacts(5.0))
    at_s = script.between(100, 2000)
    call = script.act(at_s, Deed("lead", "start", lead, 2, plan="plan-index"))
    for number in range(30):
        field = script.field(f"shard/{number}.built", 0, FieldFacts(20.0))
        deed = Deed(f"worker-{number}", "build", field, 1, plan="plan-index", caused_by=call, observation="seen-1")
        script.act(at_s + script.between(1, 25), deed)
    return BENIGN


def long_workflow(script: Script) -> Sequence[str]:
    """Documents pass through some stations, one after the other; many are on their way at once."""
    field = script.field("paper/all.done", 0, FieldFacts(1.0))
    for _ in range(script.count(6, 14)):
        at_s, cause = script.between(100, 1200), ""
        for station in range(script.count(3, 6)):
            deed = Deed(f"station-{station}", "pass_on", field, 1, "add", caused_by=cause)
            cause = script.act(at_s, deed)
            at_s += script.between(5, 30)
    return BENIGN


# ---- the same at once


def _herd(script: Script, agents: int, span_s: float, *, tool: str, shared: float) -> Sequence[str]:
    """Let agents do the same within a span, a share of them on one observation."""
    price = script.field("market/main.price", 100.0, FieldFacts(1.0, 0.5))
    at_s = script.between(100, 2000)
    script.see(at_s - 1.0, price, 71.0, id="wrong-price")
    moments = sorted(at_s + span_s * script.chance.random() ** 1.5 for _ in range(agents))
    names = [f"agent-{number}" for number in range(agents)]
    script.chance.shuffle(names)
    calls = []
    culprits = []
    for name, moment in zip(names, moments, strict=True):
        field = script.field(f"position/{name}.size", 100, FieldFacts(10.0))
        is_shared = script.is_so(shared)
        deed = Deed(name, tool, field, -script.count(20, 60), "add", observation="wrong-price" if is_shared else "")
        calls.append(script.act(moment, deed))
        culprits.append(name)
    borne = int(agents * script.between(0.5, 0.9))
    script.label(script.number_of(calls[2]), script.number_of(calls[borne], outcome=True))
    return culprits


def all_sell(script: Script) -> Sequence[str]:
    """All sell within seconds, on one wrong price."""
    return _herd(script, script.count(18, 36), script.between(8, 40), tool="sell", shared=0.95)


def all_evict(script: Script) -> Sequence[str]:
    """All evict within a few minutes, on one wrong health report; some have looked for themselves."""
    return _herd(script, script.count(18, 36), script.between(60, 240), tool="evict", shared=script.between(0.55, 0.9))


def staggered_restart(script: Script) -> Sequence[str]:
    """Nodes come back one after the other, each on what it sees itself."""
    at_s = script.between(60, 600)
    for number in range(script.count(12, 24)):
        field = script.field(f"node/{number}.up", 0, FieldFacts(30.0))
        script.act(
            at_s,
            Deed(
                f"node-{number}",
                "start",
                field,
                1,
                observation=f"own-{number}" if number % 4 else f"seen-by-all-{number // 12}",
            ),
        )
        at_s += script.between(8, 60)
    return BENIGN


def different_things(script: Script) -> Sequence[str]:
    """Many agents see one observation, and each does something else with it."""
    price = script.field("market/main.price", 100.0, FieldFacts(1.0, 0.5))
    at_s = script.between(100, 2000)
    script.see(at_s, price, 96.0, id="price-1")
    for number in range(script.count(10, 20)):
        field = script.field(f"position/{number}.size", 100, FieldFacts(10.0))
        tool, step = (("sell", -5), ("buy", 5), ("hedge", 3), ("rebalance", 1))[number % 4]
        script.act(
            at_s + script.between(1, 60), Deed(f"agent-{number}", tool, field, step, "add", observation="price-1")
        )
    return BENIGN


def habit(script: Script) -> Sequence[str]:
    """On every tenth minute a dozen agents renew what they hold: a herd for who does not know the house."""
    names = [f"keeper-{number}" for number in range(script.count(9, 14))]
    fields = {name: script.field(f"token/{name}.age", 10, FieldFacts(5.0)) for name in names}
    for minute in range(10, 50, 10):
        for name in names:
            at_s = minute * 60.0 + script.between(0, 6)
            script.act(at_s, Deed(name, "renew", fields[name], -1, "add", observation=f"{name}-{minute}"))
    return BENIGN


# ---- too much of one kind


def deschedule(script: Script) -> Sequence[str]:
    """Maintenance in several places takes its own control plane down, each for itself."""
    places = ["place-1", "place-2", "place-3", "place-4"][: script.count(2, 4)]
    at_s = script.between(100, 1500)
    calls = []
    for number, place in enumerate(places):
        field = script.field(f"control/{place}.scheduled", 1, FieldFacts(30.0, 0.0, place, 12))
        deed = Deed(f"maintenance-{number}", "deschedule", field, 0, is_destructive=True)
        calls.append(script.act(at_s, deed))
        at_s += script.between(5, 400)
    clusters = script.field("network/main.routes", 1, FieldFacts(1.0))
    script.label(script.number_of(calls[1]), script.see(at_s + script.between(60, 240), clusters, 0))
    return [f"maintenance-{number}" for number in range(len(places))]


def too_many_of_one(script: Script) -> Sequence[str]:
    """Two replacers take host after host of one pool for lost."""
    pool = script.count(10, 24)
    borne = max(3, int(pool * script.between(0.4, 0.6)))
    at_s = script.between(100, 1500)
    calls = []
    for number in range(borne + 1):
        field = script.field(f"cache/{number}.up", 1, FieldFacts(30.0, 0.0, "zone-1", pool))
        calls.append(script.act(at_s, Deed(f"replacer-{number % 2}", "swap", field, 0, is_destructive=True)))
        at_s += script.between(5, 70)
    script.label(script.number_of(calls[2]), script.number_of(calls[borne], outcome=True))
    return ["replacer-0", "replacer-1"]


def one_place(script: Script) -> Sequence[str]:
    """One place is taken down for maintenance, a part of it, and comes back; the next one follows much later."""
    at_s = script.between(60, 400)
    for place in ("place-1", "place-2"):
        fields = [
            script.field(f"control/{place}-{number}.scheduled", 1, FieldFacts(30.0, 0.0, place, 24))
            for number in range(script.count(2, 4))
        ]
        for field in fields:
            script.act(at_s, Deed("maintenance", "deschedule", field, 0, is_destructive=True))
            at_s += script.between(5, 60)
        for field in fields:
            script.act(at_s + script.between(120, 300), Deed("maintenance", "schedule", field, 1))
        at_s += script.between(1300, 1700)
    return BENIGN


def one_real_replacement(script: Script) -> Sequence[str]:
    """Something breaks now and then, and is replaced."""
    at_s = script.between(60, 600)
    for number in range(script.count(1, 3)):
        field = script.field(f"cache/{number}.up", 1, FieldFacts(30.0, 0.0, "zone-1", 16))
        script.act(at_s, Deed("replacer", "swap", field, 0, is_destructive=True))
        script.act(at_s + script.between(60, 200), Deed("replacer", "start", field, 1))
        at_s += script.between(300, 1100)
    return BENIGN


CASCADE: tuple[Stories, Stories] = (
    {"healing that spreads": healing_that_spreads},
    {"healing that ends": healing_that_ends, "fan-out": fan_out, "long workflow": long_workflow},
)
HERDING: tuple[Stories, Stories] = (
    {"all sell": all_sell, "all evict": all_evict},
    {"fan-out": fan_out, "staggered restart": staggered_restart, "different things": different_things, "habit": habit},
)
DOMAIN: tuple[Stories, Stories] = (
    {"deschedule": deschedule, "too many of one": too_many_of_one},
    {"one place": one_place, "one real replacement": one_real_replacement},
)
