"""Stories of acts that do not go together, modelled after `failover-reset`, `two-drains`, `0217`, `cold-cache`."""

from __future__ import annotations

from collections.abc import Sequence

from comity.testing.corpus.script import Deed, FieldFacts, Script, Stories

BENIGN: Sequence[str] = ()


# ---- one field


def reset_during_failover(script: Script) -> Sequence[str]:
    """One fails over on purpose; another takes it for an emergency, and resets in the middle of it."""
    settle_s = script.between(60, 240)
    field = script.field("cluster/main.primary", "a", FieldFacts(settle_s))
    at_s = script.between(100, 2000)
    script.act(at_s, Deed("failover", "promote", field, "b"))
    call = script.act(at_s + settle_s * script.between(0.05, 1.02), Deed("rescue", "reset", field, "a"))
    script.label(script.number_of(call), script.number_of(call, outcome=True))
    return ["failover", "rescue"]


def up_and_down_at_once(script: Script) -> Sequence[str]:
    """One adds, another takes away before the first has shown."""
    settle_s = script.between(30, 200)
    field = script.field("service/web.replicas", 20, FieldFacts(settle_s))
    at_s = script.between(100, 2000)
    script.act(at_s, Deed("performance", "scale", field, script.count(2, 6), "add"))
    at_s += settle_s * script.between(0.05, 1.02)
    call = script.act(at_s, Deed("cost", "scale", field, -script.count(2, 5), "add"))
    script.label(script.number_of(call), script.see(at_s + settle_s, field))
    return ["performance", "cost"]


def one_after_the_other(script: Script) -> Sequence[str]:
    """The second waits until the first has settled, and then goes the other way."""
    settle_s = script.between(30, 240)
    field = script.field("service/web.replicas", 20, FieldFacts(settle_s))
    at_s = script.between(100, 1500)
    script.act(at_s, Deed("performance", "scale", field, 5, "add"))
    script.see(at_s + settle_s, field)
    script.act(at_s + settle_s * script.between(1.02, 2.5), Deed("cost", "scale", field, -2, "add"))
    return BENIGN


def the_same_way(script: Script) -> Sequence[str]:
    """Two add, one soon after the other."""
    settle_s = script.between(30, 240)
    field = script.field("service/web.replicas", 20, FieldFacts(settle_s))
    at_s = script.between(100, 2000)
    script.act(at_s, Deed("performance", "scale", field, 3, "add"))
    script.act(at_s + settle_s * script.between(0.1, 0.9), Deed("forecast", "scale", field, 2, "add"))
    return BENIGN


def told_answer(script: Script) -> Sequence[str]:
    """A guard takes a bad release back at once, and names it as the cause."""
    settle_s = script.between(60, 240)
    field = script.field("release/shop.version", "v1", FieldFacts(settle_s))
    at_s = script.between(100, 2000)
    call = script.act(at_s, Deed("fixer", "release", field, "v2"))
    script.act(at_s + settle_s * script.between(0.1, 0.8), Deed("guard", "roll_back", field, "v1", caused_by=call))
    return BENIGN


# ---- several fields, one invariant


def two_drains(script: Script) -> Sequence[str]:
    """Two node agents drain a replica each; each sees that one is left."""
    settle_s = script.between(20, 180)
    one, two = _replicas(script, settle_s)
    at_s = script.between(100, 2000)
    script.act(at_s, Deed("node-a", "drain", one, 0, reads=((two, at_s - 5.0),)))
    at_s += settle_s * script.between(0.02, 1.02)
    call = script.act(at_s, Deed("node-b", "drain", two, 0, reads=((one, at_s - settle_s),)))
    script.label(script.number_of(call), script.see(at_s + settle_s * 0.5, two))
    return ["node-a", "node-b"]


def _replicas(script: Script, settle_s: float) -> tuple[str, str]:
    one = script.field("replica/a.ready", 1, FieldFacts(settle_s))
    two = script.field("replica/b.ready", 1, FieldFacts(settle_s))
    script.rule("one is ready", "a + b >= 1", a=one, b=two)
    script.see(10.0, one)
    script.see(10.0, two)
    return one, two


def drained_in_turn(script: Script) -> Sequence[str]:
    """The second is drained when the first is back."""
    settle_s = script.between(20, 120)
    one, two = _replicas(script, settle_s)
    at_s = script.between(100, 1500)
    for agent, field in (("node-a", one), ("node-b", two)):
        script.act(at_s, Deed(agent, "drain", field, 0))
        at_s += settle_s * script.between(1.02, 2.0)
        script.act(at_s, Deed(agent, "undrain", field, 1))
        at_s += settle_s * script.between(0.05, 1.5)
    return BENIGN


def three_together(script: Script) -> Sequence[str]:
    """02:17: one scales up, one sheds an instance, one shifts traffic; every pair would have been fine."""
    return _three(script, head_room=1.0)


def three_with_room(script: Script) -> Sequence[str]:
    """The same three, with twice the room."""
    _three(script, head_room=2.0)
    return BENIGN


def _three(script: Script, head_room: float) -> Sequence[str]:
    settle_s = script.between(40, 200)
    replicas = script.field("app/web.replicas", 6, FieldFacts(settle_s, reaches={"plant/db.load": 1.0}))
    share = script.field("route/web.share", 0.6, FieldFacts(settle_s, 0.001, reaches={"plant/db.load": 6.0}))
    instances = script.field("db/main.instances", 4, FieldFacts(settle_s, reaches={"plant/db.load": -1.0}))
    load = script.field("plant/db.load", 3.6, FieldFacts(10.0, 0.1))
    # 6·0.6 = 3.6 ≤ 4·1.55; 8·0.6 = 4.8 ≤ 3·1.9 and so on: any two of the three stay below, all three do not.
    capacity = 1.9 * head_room
    script.rule("load", f"a * r <= d * {capacity}", a=replicas, r=share, d=instances)
    for field in (replicas, share, instances):
        script.see(5.0, field)
    at_s = script.between(100, 2000)
    deeds = [
        Deed("performance", "scale", replicas, 2, "add"),
        Deed("cost", "shed", instances, -1, "add"),
        Deed("routing", "shift", share, 0.2, "add"),
    ]
    script.chance.shuffle(deeds)
    call = ""
    for deed in deeds:
        call = script.act(at_s, deed)
        at_s += settle_s * script.between(0.05, 0.4)
    harm = script.see(at_s + settle_s * 0.5, load, 6.4)
    if head_room <= 1.0:
        script.label(script.number_of(call), harm)
    return [deed.actor for deed in deeds]


# ---- what nobody declared


def cold_cache(script: Script) -> Sequence[str]:
    """The replacer swaps cache nodes; what the database keeper pursues falls a while after each, nobody knows why."""
    falls: list[int] = []
    moments = _replacements(script)
    steps = [at_s + script.between(15, 70) for at_s in moments if script.is_so(0.95)]
    falls = _headroom(script, [(at_s, script.between(0.2, 0.5), script.between(40, 120)) for at_s in steps])
    borne = min(len(falls) - 1, script.count(4, 6))
    script.label(falls[1], falls[borne])
    return ["replacer", "keeper"]


def warm_cache(script: Script) -> Sequence[str]:
    """The same replacements; the database has bad moments of its own, at other times."""
    _replacements(script)
    bad = [(script.between(100, 2800), script.between(0.2, 0.5), script.between(40, 120)) for _ in range(4)]
    _headroom(script, sorted(bad))
    return BENIGN


def _replacements(script: Script) -> list[float]:
    moments = []
    at_s = script.between(150, 300)
    for number in range(script.count(7, 9)):
        field = script.field(f"cache/{number}.warm", 1, FieldFacts(script.between(10, 40)))
        script.act(at_s, Deed("replacer", "swap", field, 0))
        moments.append(at_s)
        at_s += script.between(190, 360)
    return moments


def _headroom(script: Script, falls: list[tuple[float, float, float]]) -> list[int]:
    """Measure the database's head-room with noise; return the first measure in each fall."""
    field = script.field("store/main.memory", 64, FieldFacts(30.0))
    level, every_s = script.between(40, 80), script.between(8, 30)
    begun: dict[float, int] = {}
    at_s = 1.0
    while at_s < 2950.0:
        depth, start_s = max(
            ((depth, start) for start, depth, lasts in falls if start <= at_s < start + lasts), default=(0.0, -1.0)
        )
        value = level * (1.0 - depth) * (1.0 + script.chance.gauss(0, 0.02))
        number = script.measure(at_s, "keeper", "head-room", round(value, 2))
        if start_s >= 0:
            begun.setdefault(start_s, number)
        at_s += every_s * script.between(0.9, 1.1)
        if script.is_so(0.02):
            script.act(at_s, Deed("keeper", "resize", field, script.count(60, 70)))
    return sorted(begun.values())


DIRECT: tuple[Stories, Stories] = (
    {"reset during failover": reset_during_failover, "up and down at once": up_and_down_at_once},
    {"one after the other": one_after_the_other, "the same way": the_same_way, "told answer": told_answer},
)
INDIRECT: tuple[Stories, Stories] = (
    {"two drains": two_drains, "three together": three_together},
    {"drained in turn": drained_in_turn, "three with room": three_with_room},
)
IMPLICIT: tuple[Stories, Stories] = ({"cold cache": cold_cache}, {"warm cache": warm_cache})
