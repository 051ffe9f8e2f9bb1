"""Stories of agents that take back each other's work, modelled after `0217`, `rollback-hotfix`, `drift-corrector`."""

from __future__ import annotations

from collections.abc import Sequence

from comity.testing.corpus.script import Deed, FieldFacts, Script, Stories

BENIGN: Sequence[str] = ()


# ---- one field, back and forth


def tug_of_war(script: Script) -> Sequence[str]:
    """Performance scales up when latency rises, cost scales down when utilisation falls, each after a think time."""
    settle_s = script.between(20, 150)
    field = script.field("service/web.replicas", script.count(10, 30), FieldFacts(settle_s))
    agents = ["performance", "cost", *(["batch"] if script.is_so(0.3) else [])]
    return _alternate(script, field, settle_s, agents)


def _alternate(script: Script, field: str, settle_s: float, agents: list[str]) -> Sequence[str]:
    """Let agents pull by turns until the reversals that can be borne are used up."""
    at_s = script.between(100, 700)
    pace, borne = script.between(0.5, 3.0), script.count(6, 10)
    size = script.count(2, 6)
    first = harm = 0
    for turn in range(borne + 3):
        way = 1 if turn % 2 == 0 else -1
        step = way * max(1, size + script.count(-2, 2))
        call = script.act(at_s, Deed(agents[turn % len(agents)], "scale", field, step, "add"))
        first = script.number_of(call) if turn == 2 else first
        harm = script.number_of(call, outcome=True) if turn == borne else harm
        script.see(at_s + settle_s * 0.9, field)
        if script.is_so(0.15):
            # Somebody who follows a forecast passes by; it is not one of those who pull.
            script.act(at_s + settle_s * 0.4, Deed("forecast", "scale", field, 1, "add"))
        at_s += settle_s * pace * script.between(0.7, 1.3) + script.between(1, 6)
    script.label(first, harm)
    return agents


def hotfix_and_rollback(script: Script) -> Sequence[str]:
    """The guard rolls back on errors, the fixer pushes the next hot-fix, and neither knows of the other."""
    settle_s = script.between(40, 180)
    field = script.field("release/shop.version", "v1", FieldFacts(settle_s))
    at_s = script.between(100, 600)
    pace, borne = script.between(0.4, 1.3), script.count(5, 8)
    first = harm = 0
    for turn in range(borne + 2):
        script.act(at_s, Deed("fixer", "release", field, f"fix-{turn}"))
        if script.is_so(0.2):
            at_s += settle_s * script.between(0.2, 0.6)
            script.act(at_s, Deed("fixer", "release", field, f"fix-{turn}-again"))
        at_s += settle_s * pace * script.between(0.7, 1.3)
        call = script.act(at_s, Deed("guard", "roll_back", field, "v1"))
        first = script.number_of(call) if turn == 1 else first
        harm = script.number_of(call, outcome=True) if turn == borne else harm
        at_s += settle_s * pace * script.between(0.7, 1.3)
    script.label(first, harm)
    return ["fixer", "guard"]


def convergence(script: Script) -> Sequence[str]:
    """Two controllers overshoot less each time, and come to rest."""
    settle_s = script.between(20, 150)
    field = script.field("service/web.replicas", 40.0, FieldFacts(settle_s, 0.5))
    at_s, step = script.between(100, 900), script.between(12, 30)
    for turn in range(script.count(4, 8)):
        script.act(at_s, Deed(("performance", "cost")[turn % 2], "scale", field, round(step, 1), "add"))
        at_s += settle_s * script.between(1.1, 2.0)
        step *= -script.between(0.3, 0.6)
    return BENIGN


def experiment(script: Script) -> Sequence[str]:
    """A declared plan switches something on and off, to compare."""
    settle_s = script.between(20, 120)
    field = script.field("service/web.replicas", 12, FieldFacts(settle_s))
    at_s = script.between(100, 600)
    for turn in range(script.count(4, 7)):
        deed = Deed(f"worker-{turn % 3}", "scale", field, 4 if turn % 2 == 0 else -4, "add", plan="plan-compare")
        script.act(at_s, deed)
        at_s += settle_s * script.between(1.0, 2.0)
    return BENIGN


def follow_the_load(script: Script) -> Sequence[str]:
    """Scale up by steps for a peak and down by steps after it, twice; two agents share the work."""
    settle_s = script.between(20, 90)
    field = script.field("service/web.replicas", 12, FieldFacts(settle_s))
    at_s = script.between(60, 300)
    for way in (1, -1, 1, -1):
        for _ in range(script.count(3, 5)):
            agent = "performance" if way > 0 else "cost"
            script.act(at_s, Deed(agent, "scale", field, way * script.count(2, 4), "add"))
            at_s += settle_s * script.between(1.1, 1.8)
        at_s += settle_s * script.between(1.5, 4)
    return BENIGN


def roll_back_then_forward(script: Script) -> Sequence[str]:
    """A release fails, is rolled back, and goes forward once: as a new version, or with its cause declared."""
    settle_s = script.between(40, 180)
    field = script.field("release/shop.version", "v1", FieldFacts(settle_s))
    at_s = script.between(100, 900)
    call = script.act(at_s, Deed("fixer", "release", field, "v2"))
    at_s += settle_s * script.between(0.3, 1.5)
    back = script.act(at_s, Deed("guard", "roll_back", field, "v1", caused_by=call))
    at_s += settle_s * script.between(1.2, 4)
    again = script.is_so(0.5)
    script.act(at_s, Deed("fixer", "release", field, "v2" if again else "v3", caused_by=back if again else ""))
    return BENIGN


# ---- several fields, round and round


def three_in_a_circle(script: Script) -> Sequence[str]:
    """Each reacts to what the one before has done; a lap later all is as it was."""
    settle_s = script.between(15, 60)
    fields = [
        script.field("app/web.replicas", 6, FieldFacts(settle_s, reaches={"plant/db.load": 10.0})),
        script.field("db/main.instances", 4, FieldFacts(settle_s, reaches={"plant/db.load": -20.0})),
        script.field("route/web.share", 0.5, FieldFacts(settle_s, 0.01, reaches={"plant/db.load": 40.0})),
    ]
    load = script.field("plant/db.load", 60.0, FieldFacts(5.0, 2.0))
    ways = [("performance", 2), ("cost", -1), ("routing", 0.2)]
    lap_s = script.between(70, 190)
    return _laps(script, fields, ways, lap_s, load)


def _laps(script: Script, fields: list[str], ways: list[tuple[str, float]], lap_s: float, load: str) -> Sequence[str]:
    """Let agents act one after another, out and back, lap by lap."""
    at_s, borne = script.between(60, 400), script.count(4, 5)
    acts = len(ways) * 2
    tag = script.field("app/web.tag", "none", FieldFacts(1.0))
    first = 0
    call = ""
    for lap in range(borne + 1):
        for turn in range(acts):
            (agent, step), field = ways[turn % len(ways)], fields[turn % len(ways)]
            signed = step if turn < len(ways) else -step
            if turn == 1 and script.is_so(0.15):
                script.act(at_s - 1.0, Deed("auditor", "tag", tag, f"lap-{lap}"))
            call = script.act(at_s, Deed(agent, "adjust", field, signed, "add"))
            script.see(at_s + 4.0, load, 60.0 + 15.0 * (turn % len(ways)) + script.between(-3, 3))
            at_s += lap_s / acts * script.between(0.7, 1.3)
        first = script.number_of(call) if lap == 1 else first
    harm = script.number_of(call, outcome=True)
    script.label(first, harm)
    return [agent for agent, _ in ways]


def good_and_bad_in_turns(script: Script) -> Sequence[str]:
    """A builder moves work away where files are bad, a balancer moves it back where there is room: four states."""
    settle_s = script.between(20, 60)
    place = script.field("work/feed.place", "east", FieldFacts(settle_s))
    room = script.field("work/feed.room", "closed", FieldFacts(settle_s))
    script.rule("feed", "place == 'east' or place == 'west'", place=place, room=room)
    steps = [("builder", place, "west"), ("balancer", room, "open"), ("builder", place, "east")]
    steps += [("balancer", room, "closed")]
    at_s, lap_s, borne = script.between(60, 500), script.between(80, 190), script.count(4, 5)
    first = 0
    call = ""
    for lap in range(borne + 1):
        for agent, field, value in steps:
            call = script.act(at_s, Deed(agent, "move", field, value))
            at_s += lap_s / 4 * script.between(0.7, 1.3)
        first = script.number_of(call) if lap == 1 else first
    script.label(first, script.number_of(call, outcome=True))
    return ["builder", "balancer"]


def zone_by_zone(script: Script) -> Sequence[str]:
    """A roll-out drains one zone after another: between any two, all is as it was at the start."""
    settle_s = script.between(10, 40)
    zones = [
        script.field(f"zone/{name}.drained", 0, FieldFacts(settle_s, reaches={"plant/front.load": 5.0}))
        for name in ("a", "b", "c", "d", "e", "f")[: script.count(4, 6)]
    ]
    script.field("plant/front.load", 40.0, FieldFacts(5.0, 2.0))
    at_s = script.between(60, 900)
    for field in zones:
        script.act(at_s, Deed("roll-out", "drain", field, 1))
        at_s += settle_s * script.between(1.2, 2.5)
        script.act(at_s, Deed("roll-out", "undrain", field, 0))
        at_s += settle_s * script.between(1.2, 2.5)
    return BENIGN


def driven_by_traffic(script: Script) -> Sequence[str]:
    """Traffic comes in waves, and two agents follow it: the same states again, each time for a reason from outside."""
    settle_s = script.between(15, 40)
    field = script.field("app/web.replicas", 6, FieldFacts(settle_s))
    traffic = script.field("app/web.traffic", 100.0, FieldFacts(1.0, 5.0))
    at_s = script.between(60, 500)
    for wave in range(script.count(4, 6)):
        script.see(at_s, traffic, 100.0 + wave * 1.0)
        script.see(at_s + 20.0, traffic, 260.0 + script.between(-20, 20))
        script.act(at_s + 30.0, Deed("performance", "scale", field, 6, "add"))
        at_s += script.between(110, 170)
        script.see(at_s, traffic, 100.0 + script.between(-8, 8))
        script.act(at_s + settle_s, Deed("performance", "scale", field, -6, "add"))
        at_s += script.between(110, 170)
    return BENIGN


# ---- undoing


def corrector_and_operator(script: Script) -> Sequence[str]:
    """A migrator switches the scaler off, the drift corrector restores what is declared; neither says why."""
    field = script.field("autoscaler/main.enabled", True, FieldFacts(script.between(1, 10)))
    return _undo(script, field, (False, True), ("migrator", "corrector"))


def tuner_and_corrector(script: Script) -> Sequence[str]:
    """A tuner raises a limit by what it learned, the drift corrector puts back the declared one."""
    field = script.field("proxy/edge.limit", 200, FieldFacts(script.between(1, 20)))
    raised = 200 + script.count(20, 120)
    return _undo(script, field, (raised, 200), ("tuner", "corrector"))


def _undo(script: Script, field: str, values: tuple[bool | int, bool | int], agents: tuple[str, str]) -> Sequence[str]:
    at_s, borne = script.between(100, 1200), script.count(4, 7)
    first = harm = 0
    for turn in range(borne + 2):
        call = script.act(at_s, Deed(agents[turn % 2], "set", field, values[turn % 2]))
        first = script.number_of(call) if turn == 1 else first
        harm = script.number_of(call, outcome=True) if turn == borne else harm
        at_s += script.between(30, 420)
    script.label(first, harm)
    return agents


def real_drift(script: Script) -> Sequence[str]:
    """Something outside changes a field, twice or more, and the corrector restores it each time."""
    field = script.field("autoscaler/main.enabled", True, FieldFacts(script.between(1, 10)))
    at_s = script.between(100, 900)
    for _ in range(script.count(2, 4)):
        script.see(at_s, field, value=False)
        script.act(at_s + script.between(10, 60), Deed("corrector", "set", field, True))
        at_s += script.between(90, 400)
    return BENIGN


def answered_undo(script: Script) -> Sequence[str]:
    """One agent undoes another's work under a claim, and the other takes it up again when the claim is over."""
    field = script.field("proxy/edge.limit", 200, FieldFacts(script.between(1, 20)))
    at_s = script.between(100, 900)
    script.act(at_s, Deed("tuner", "set", field, 260))
    claim = script.claim((at_s + 60, at_s + 300), "agent:auditor", "proxy/edge.*", "exclusive")
    script.act(at_s + 70, Deed("auditor", "set", field, 200, claim=claim))
    script.act(at_s + script.between(320, 500), Deed("tuner", "set", field, 260))
    return BENIGN


OSCILLATION: tuple[Stories, Stories] = (
    {"tug of war": tug_of_war, "hot-fix and roll-back": hotfix_and_rollback},
    {
        "convergence": convergence,
        "experiment": experiment,
        "follow the load": follow_the_load,
        "roll back, then forward": roll_back_then_forward,
    },
)
LIMIT_CYCLE: tuple[Stories, Stories] = (
    {"three in a circle": three_in_a_circle, "good and bad in turns": good_and_bad_in_turns},
    {"zone by zone": zone_by_zone, "driven by traffic": driven_by_traffic},
)
UNDO_WAR: tuple[Stories, Stories] = (
    {"corrector and operator": corrector_and_operator, "tuner and corrector": tuner_and_corrector},
    {"real drift": real_drift, "answered undo": answered_undo},
)
