"""What else goes on: agents that have nothing to do with the story, with habits that look a little like harm."""

from __future__ import annotations

from collections.abc import Callable

from comity.testing.corpus.script import Deed, FieldFacts, Script

LENGTH_S = 3000.0
"""How long a trace goes on."""


def add_background(script: Script) -> None:
    """Let eight to sixteen uninvolved agents, each with a thing of its own, do what such agents do."""
    habits: tuple[Callable[[Script, str], None], ...] = (
        _follows_load,
        _tunes,
        _releases,
        _is_put_off,
        _works_in_steps,
        _publishes,
        _pursues_a_goal,
        _works_under_a_claim,
        _replaces_one,
        _serves_accounts,
        _share_a_field,
        _look_at_one_board,
    )
    for number in range(script.count(8, 16)):
        script.chance.choice(habits)(script, f"other-{number}")


def _moments(script: Script, every_s: float) -> list[float]:
    """Return moments of a process with that mean distance."""
    at_s = 0.0
    moments: list[float] = []
    while True:
        at_s += script.chance.expovariate(1.0 / every_s)
        if at_s >= LENGTH_S:
            return moments
        moments.append(at_s)


def _follows_load(script: Script, name: str) -> None:
    """Go up with the morning and down with the evening, in small steps, with a correction now and then."""
    field = script.field(f"service/{name}.replicas", 20, FieldFacts(script.between(20, 120)))
    peak_s = script.between(800, 2200)
    for at_s in _moments(script, script.between(120, 400)):
        step = script.count(1, 2) * (1 if at_s < peak_s else -1)
        script.act(at_s, Deed(name, "scale", field, step, "add", reads=((field, at_s - 2.0),)))
        script.see(at_s + 30.0, field)


def _tunes(script: Script, name: str) -> None:
    """Search for a good value: large steps first, then smaller ones."""
    field = script.field(f"pool/{name}.size", 100.0, FieldFacts(script.between(10, 60), 0.5))
    step = script.between(20, 40)
    for at_s in _moments(script, script.between(150, 300)):
        script.act(at_s, Deed(name, "resize", field, round(step, 1), "add"))
        step *= -script.between(0.3, 0.6)
        if abs(step) < 1.0:
            return


def _releases(script: Script, name: str) -> None:
    """Release, and roll back once."""
    field = script.field(f"release/{name}.version", "v1", FieldFacts(script.between(60, 240)))
    at_s = script.between(100, 600)
    for version in ("v2", *(("v1",) if script.is_so(0.4) else ()), "v3", "v4"):
        script.act(at_s, Deed(name, "release", field, version))
        at_s += script.between(400, 900)


def _is_put_off(script: Script, name: str) -> None:
    """Be put off a few times for want of room, then be let through."""
    field = script.field(f"job/{name}.running", 0, FieldFacts(script.between(5, 30)))
    for at_s in _moments(script, 700):
        deed = Deed(name, "start_job", field, 1, "add")
        puts = script.count(1, 3)
        for n in range(1, puts + 1):
            script.turn(at_s + n * 8.0, deed, f"{name}-{at_s:.0f}/start_job", n)
        script.act(at_s + (puts + 1) * 8.0, deed)


def _works_in_steps(script: Script, name: str) -> None:
    """Do jobs of a few steps, each caused by the one before, by sub-agents."""
    field = script.field(f"record/{name}.state", 0, FieldFacts(5.0))
    for at_s in _moments(script, script.between(150, 400)):
        cause = ""
        for step in range(script.count(2, 6)):
            deed = Deed(f"{name}-sub{step}", "advance", field, 1, "add", caused_by=cause)
            cause = script.act(at_s + step * script.between(4, 12), deed)


def _publishes(script: Script, name: str) -> None:
    """Publish a file that grows slowly."""
    size = script.between(50, 400)
    every_s = script.between(240, 420)
    for number in range(int(LENGTH_S / every_s)):
        script.publish(number * every_s + script.between(1, 20), name, f"file/{name}.list", round(size))
        size *= script.between(0.95, 1.15)


def _pursues_a_goal(script: Script, name: str) -> None:
    """Be measured on something that wavers, and act on its own field."""
    field = script.field(f"queue/{name}.workers", 10, FieldFacts(script.between(15, 60)))
    level = script.between(60, 100)
    every_s = script.between(20, 60)
    dip_s = script.between(300, LENGTH_S - 300)
    for number in range(int(LENGTH_S / every_s)):
        at_s = number * every_s + script.between(0, 3)
        dip = 0.7 if 0 <= at_s - dip_s < 90 else 1.0
        script.measure(at_s, name, "throughput", level * dip * (1.0 + script.chance.gauss(0, 0.02)))
    for at_s in _moments(script, 300):
        script.act(at_s, Deed(name, "set_workers", field, script.count(8, 14)))


def _works_under_a_claim(script: Script, name: str) -> None:
    """Claim what it works on, and work there."""
    field = script.field(f"table/{name}.rows", 1000, FieldFacts(script.between(20, 90)))
    since_s = script.between(100, 1500)
    until_s = since_s + script.between(400, 1200)
    claim = script.claim((since_s, until_s), f"agent:{name}", f"table/{name}.*", "exclusive")
    at_s = since_s + 5.0
    while at_s < until_s - 10.0:
        script.act(at_s, Deed(name, "migrate", field, script.count(-50, 80), "add", claim=claim))
        at_s += script.between(60, 200)


def _replaces_one(script: Script, name: str) -> None:
    """Replace one broken thing of a large pool."""
    field = script.field(f"host-{name}/1.up", 1, FieldFacts(script.between(60, 180), 0.0, "zone-1", 40))
    at_s = script.between(200, 2000)
    script.act(at_s, Deed(name, "replace", field, 0, is_destructive=True))
    script.act(at_s + script.between(100, 300), Deed(name, "start", field, 1))


def _serves_accounts(script: Script, name: str) -> None:
    """Do small things to many accounts, on what it has read of each."""
    for number, at_s in enumerate(_moments(script, script.between(40, 120))):
        field = script.field(f"account/{name}-{number}.contacts", 0, FieldFacts(2.0))
        script.act(at_s, Deed(name, "write_to", field, 1, "add", reads=((field, at_s - 5.0),)))


def _share_a_field(script: Script, name: str) -> None:
    """Two agents work on one field, mostly the same way, one a good while after the other."""
    settle_s = script.between(10, 60)
    field = script.field(f"stock/{name}.level", 200, FieldFacts(settle_s))
    at_s = script.between(50, 400)
    while at_s < LENGTH_S:
        way = 1 if script.is_so(0.8) else -1
        script.act(at_s, Deed(f"{name}-{script.count(1, 2)}", "order", field, way * script.count(2, 9), "add"))
        at_s += settle_s * script.between(1.5, 3) + script.between(60, 300)


def _look_at_one_board(script: Script, name: str) -> None:
    """A few agents act on what one board shows, each when it gets to it."""
    board = script.field(f"board/{name}.number", 50.0, FieldFacts(1.0, 1.0))
    fields = [script.field(f"desk/{name}-{number}.open", 5, FieldFacts(5.0)) for number in range(script.count(3, 6))]
    for show, at_s in enumerate(_moments(script, 500)):
        script.see(at_s, board, round(script.between(40, 60), 1), id=f"{name}-{show}")
        for number, field in enumerate(fields):
            if script.is_so(0.7):
                deed = Deed(f"{name}-{number}", "adjust_desk", field, 1, "add", observation=f"{name}-{show}")
                script.act(at_s + script.between(3, 200), deed)
