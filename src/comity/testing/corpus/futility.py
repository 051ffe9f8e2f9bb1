"""Stories of work that comes to nothing, and of files that break who reads them: `recovery-herd`, `bot-management`."""

from __future__ import annotations

from collections.abc import Sequence

from comity.testing.corpus.script import Deed, FieldFacts, Script, Stories

BENIGN: Sequence[str] = ()


# ---- livelock


def put_off_for_ever(script: Script) -> Sequence[str]:
    """A node wants to re-mirror, and is put off again and again, since the others take what becomes free."""
    field = script.field("volume/main.free", 100, FieldFacts(script.between(5, 30)))
    others = [f"node-{number}" for number in range(2, 6)]
    at_s, borne = script.between(100, 1200), script.count(7, 12)
    deed = Deed("node-1", "mirror", field, -10, "add")
    call = f"node-1-{script.seed}/mirror"
    numbers = []
    for n in range(1, borne + 2):
        numbers.append(script.turn(at_s, deed, call, n))
        script.act(at_s + 1.0, Deed(script.chance.choice(others), "mirror", field, -script.count(1, 3), "add"))
        at_s += script.between(4, 12) * (1 + n / 2)
    script.label(numbers[2], numbers[borne])
    return ["node-1"]


def asks_again(script: Script) -> Sequence[str]:
    """A node that is put off a few times gives up, thinks again, and asks under another name, with no more luck."""
    field = script.field("volume/main.free", 100, FieldFacts(script.between(5, 30)))
    others = [f"node-{number}" for number in range(2, 6)]
    at_s, borne = script.between(100, 1200), script.count(7, 12)
    deed = Deed("node-1", "mirror", field, -10, "add")
    numbers: list[int] = []
    while len(numbers) < borne + 2:
        call = f"node-1-{len(numbers)}-{script.seed}/mirror"
        for n in range(1, script.count(1, 4) + 1):
            numbers.append(script.turn(at_s, deed, call, n))
            script.act(at_s + 1.0, Deed(script.chance.choice(others), "mirror", field, -script.count(1, 3), "add"))
            at_s += script.between(5, 40)
    script.label(numbers[2], numbers[borne])
    return ["node-1"]


def busy_for_nothing(script: Script) -> Sequence[str]:
    """An agent tries the same few settings over and over, and what it pursues stays where it is."""
    field = script.field("encoder/main.quality", 5, FieldFacts(script.between(5, 20)))
    level = script.between(20, 90)
    at_s = script.between(60, 300)
    borne, tried = script.count(28, 40), script.count(2, 6)
    numbers = []
    for number in range(borne + 2):
        script.act(at_s, Deed("encoder", "set_quality", field, 5 + number % tried))
        at_s += script.between(15, 50)
        value = level * (1.0 + script.between(-0.02, 0.02))
        numbers.append(script.measure(at_s, "encoder", "satisfaction", value))
        at_s += script.between(2, 10)
    script.label(numbers[9], numbers[borne])
    return ["encoder"]


def put_off_then_done(script: Script) -> Sequence[str]:
    """Calls are put off a few times each, and all get their turn."""
    field = script.field("volume/main.free", 100, FieldFacts(script.between(5, 30)))
    for number in range(script.count(4, 8)):
        deed = Deed(f"node-{number}", "mirror", field, -script.count(1, 3), "add")
        at_s = script.between(100, 2400)
        for n in range(1, script.count(1, 4) + 1):
            script.turn(at_s, deed, f"node-{number}-{script.seed}/mirror", n)
            at_s += script.between(4, 20)
        script.act(at_s, deed)
    return BENIGN


def steady_service(script: Script) -> Sequence[str]:
    """An agent serves many, and what it pursues stays where it should be."""
    at_s = script.between(20, 100)
    for number in range(script.count(28, 45)):
        field = script.field(f"ticket/{number}.state", "open", FieldFacts(1.0))
        script.act(at_s, Deed("support", "answer", field, "answered"))
        at_s += script.between(10, 50)
        script.measure(at_s, "support", "satisfaction", 95.0 * (1.0 + script.between(-0.01, 0.01)))
    return BENIGN


def slow_progress(script: Script) -> Sequence[str]:
    """The same act again and again, and what it pursues rises a little each time."""
    field = script.field("index/main.batch", 0, FieldFacts(script.between(5, 20)))
    at_s, value = script.between(20, 100), script.between(20, 40)
    for _ in range(script.count(28, 40)):
        script.act(at_s, Deed("indexer", "run_batch", field, 1))
        at_s += script.between(15, 50)
        value *= 1.0 + script.between(0.004, 0.02)
        script.measure(at_s, "indexer", "coverage", round(value, 3))
    return BENIGN


# ---- artefacts


def doubled_rows(script: Script) -> Sequence[str]:
    """The generator asks whichever node answers; those with the new permission give every row twice."""
    rows = script.count(55, 70)
    at_s = script.between(60, 200)
    numbers = []
    good = script.count(2, 4)
    for number in range(good + 4):
        is_bad = number == good or (number > good and script.is_so(0.6))
        twice = rows if is_bad else 0
        size = rows * script.between(0.97, 1.03) + twice * script.between(0.8, 2.2)
        numbers.append(script.publish(at_s, "generator", "file/features", round(size), twice))
        at_s += 300.0 + script.between(-10, 10)
    return _read_by_the_proxy(script, numbers[good], at_s)


def _read_by_the_proxy(script: Script, bad: int, ends_s: float) -> Sequence[str]:
    proxy = script.field("proxy/main.errors", 0.0, FieldFacts(5.0, 0.01))
    published_s = ends_s - (4 * 300.0)
    script.label(bad, script.see(published_s + script.between(60, 250), proxy, 0.9))
    return ["generator"]


def sudden_growth(script: Script) -> Sequence[str]:
    """A file grows to what its reader cannot hold, with no row twice."""
    rows = script.between(40, 100)
    at_s = script.between(60, 200)
    good = script.count(3, 6)
    for number in range(good):
        script.publish(at_s + 300.0 * number, "generator", "file/features", round(rows * script.between(0.95, 1.05)))
    at_s += 300.0 * good
    bad = script.publish(at_s, "generator", "file/features", round(rows * script.between(1.7, 3.5)))
    proxy = script.field("proxy/main.errors", 0.0, FieldFacts(5.0, 0.01))
    script.label(bad, script.see(at_s + script.between(40, 250), proxy, 0.9))
    return ["generator"]


def growth_within(script: Script) -> Sequence[str]:
    """A file grows by up to two fifths, within what its reader can hold, and shrinks again."""
    rows = script.between(40, 100)
    for number in range(script.count(5, 9)):
        size = rows * (script.between(1.25, 1.42) if number % 3 == 1 else script.between(0.97, 1.03))
        script.publish(60.0 + 300.0 * number + script.between(0, 20), "generator", "file/features", round(size))
    return BENIGN


def known_doubles(script: Script) -> Sequence[str]:
    """A file has always had some rows twice, and its readers know."""
    rows, doubles = script.count(60, 120), script.count(3, 8)
    for number in range(script.count(5, 9)):
        at_s = 60.0 + 300.0 * number + script.between(0, 20)
        script.publish(at_s, "generator", "file/aliases", rows + script.count(-3, 3), doubles - (number % 2))
    return BENIGN


LIVELOCK: tuple[Stories, Stories] = (
    {"put off for ever": put_off_for_ever, "asks again": asks_again, "busy for nothing": busy_for_nothing},
    {"put off, then done": put_off_then_done, "steady service": steady_service, "slow progress": slow_progress},
)
DRIFT: tuple[Stories, Stories] = (
    {"doubled rows": doubled_rows, "sudden growth": sudden_growth},
    {"growth within": growth_within, "known doubles": known_doubles},
)
