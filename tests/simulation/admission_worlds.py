"""Random small worlds for the oracle: fields, laws, dependencies, what is in flight, a new act; one for each seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from comity.coordination.document import (
    Aggregate,
    DependencySection,
    FieldSection,
    InvariantSection,
    KindSection,
    Mode,
    ResourceSection,
    ToolSection,
    TouchSection,
    WorldDocument,
)
from comity.coordination.world import World
from comity.journal.world import FieldValue
from simulation.admission_oracle import Law, Link, Name, Touch, Truth

S = 1_000_000
WINDOW_US = 60 * S
WIDTHS_US = (8 * S, 25 * S, 60 * S)
NOW_US = 1_000 * S
RESOURCES = ("x", "y")
TYPES: dict[str, Any] = {"a": "integer", "b": "integer", "p": "boolean", "t": "text", "s": "set"}
KINDS = ("linear", "bilinear", "general", "equality", "aggregate", "window", "windows", "bounds", "dependent")


@dataclass(frozen=True)
class Small:
    """A small world: what the engine reads of it, and what the oracle knows."""

    laws: tuple[Law, ...]
    links: tuple[Link, ...]
    truth: Truth
    acts: tuple[tuple[Touch, ...], ...]
    low: int | None = None
    high: int | None = None
    settle_s: float = 1_000.0

    @property
    def has_set(self) -> bool:
        """Tell whether any act sets anything."""
        return any(touch.op != "add" for act in self.acts for touch in act)

    @property
    def has_unknown(self) -> bool:
        """Tell whether a field has no value."""
        return any(value is None for _, value in self.truth.values)

    def world(self, mode: Mode) -> World:
        """Return it as the engine's world."""
        named: dict[str, dict[str, FieldValue]] = {name: {} for name in RESOURCES}
        for field, value in self.truth.values:
            if value is not None:
                named[field.split("/")[1].split(".")[0]][field.split(".")[1]] = value
        bounds = {"a": {"low": self.low, "high": self.high}}
        fields = {name: FieldSection(type=kind, **bounds.get(name, {})) for name, kind in TYPES.items()}
        document = WorldDocument(
            kinds={"k": KindSection("k/{name}", fields)},
            resources={f"k/{name}": ResourceSection(values=values) for name, values in named.items()},
            dependencies=tuple(
                DependencySection(item.source, item.target, gain=item.gain, lag_s=item.lag_s) for item in self.links
            ),
            invariants={
                f"{law.kind}-{place}": InvariantSection(
                    {word: _let(name) for word, name in law.names}, law.holds, mode=mode
                )
                for place, law in enumerate(law for law in self.laws if law.kind != "bounds")
            },
            tools={
                f"act{place}": ToolSection(
                    touches=tuple(TouchSection(t.field, t.op, repr(t.value), self.settle_s) for t in act)  # type: ignore[arg-type]  # an Op
                )
                for place, act in enumerate(self.acts)
            },
        )
        return World(document)


def _let(name: Name) -> str | Aggregate:
    if name.how == "field":
        return name.pattern
    how = name.how.removesuffix("_within")
    within = f"{name.window_us // S}s" if name.window_us else ""
    return Aggregate(**{how: name.pattern, "within": within})


def small(seed: int, kind: str = "") -> Small:
    """Return the small world of a seed, of any kind or of one."""
    pick = random.Random(seed)
    kind = kind or pick.choice(KINDS)
    with_sets = pick.random() < (0.15 if kind == "windows" else 0.5)
    laws = tuple(_law(pick, kind) for _ in range(pick.choice((1, 1, 2))))
    low, high = (pick.choice((-4, 0)), pick.choice((5, 8))) if kind == "bounds" else (None, None)
    if kind == "bounds":
        laws = tuple(
            Law("bounds", (("v", Name("field", f"k/{name}.a")),), f"{low} <= v and v <= {high}") for name in RESOURCES
        )
    links = _links(pick) if kind == "dependent" or pick.random() < 0.2 else ()
    values = {f"k/{name}.{field}": _value(pick, field) for name in RESOURCES for field in TYPES}
    used = _used(laws, links, values)
    if pick.random() < 0.1:
        values[pick.choice(used)] = None
    steps = tuple(
        (NOW_US - pick.randrange(1, 90) * S, pick.choice(used), pick.choice((1, 2, 3, -2)))
        for _ in range(pick.choice((0, 1, 3)) if kind in ("window", "windows") else 0)
    )
    truth = Truth(tuple((name, values[name]) for name in used), tuple(sorted(steps)))
    acts = tuple(_act(pick, used, with_sets=with_sets) for _ in range(pick.choice((1, 2, 3, 3, 4))))
    return Small(laws, links, truth, acts, low, high)


def _used(laws: tuple[Law, ...], links: tuple[Link, ...], values: dict[str, Any]) -> list[str]:
    named = {name.pattern for law in laws for _, name in law.names}
    named |= {end for link in links for end in (link.source, link.target)}
    return sorted(field for field in values if any(_matches(field, pattern) for pattern in named))


def _matches(field: str, pattern: str) -> bool:
    return field == pattern or ("*" in pattern and field.endswith(pattern.rsplit("*", 1)[1]))


def _value(pick: random.Random, field: str) -> Any:
    if field in ("a", "b"):
        return pick.randrange(-2, 6)
    if field == "p":
        return pick.random() < 0.5
    return pick.choice(("up", "down")) if field == "t" else pick.choice(((), ("m",), ("m", "n")))


def _law(pick: random.Random, kind: str) -> Law:
    number = pick.randrange(0, 14)
    if kind == "linear":
        one, other = pick.choice((1, 2, -1)), pick.choice((1, -1, 3))
        text = pick.choice(
            (f"{one} * x + {other} * y <= {number}", f"x >= {other} * y - {number}", f"-3 < x + y <= {number}")
        )
        return _of(kind, text, x="k/x.a", y="k/y.a")
    if kind == "bilinear":
        return _of(kind, pick.choice((f"x * y <= {number}", f"x * y >= {-number}")), x="k/x.a", y="k/y.b")
    if kind == "general":
        text = pick.choice(
            (
                f"x <= {number // 3} or not p",
                f"(x if p else y) <= {number // 2}",
                f"max(x, y) <= {number}",
                f"abs(x - y) <= {number // 2}",
                "not (p and q)",
                f"p or q or x < {number // 3}",
            )
        )
        return _of(kind, text, x="k/x.a", y="k/y.a", p="k/x.p", q="k/y.p")
    if kind == "equality":
        text = pick.choice(("t == 'up' or x <= 3", "len(s) <= 1", "'m' in s or t != 'up'", "x != 3", "t != u"))
        return _of(kind, text, t="k/x.t", u="k/y.t", x="k/x.a", s="k/x.s")
    if kind == "window":
        how = pick.choice(("sum_within", "count_within"))
        name = Name(how, pick.choice(("k/x.a", "k/*.a")), WINDOW_US)
        text = pick.choice((f"w <= {number // 2}", f"w + x <= {number}", f"w <= 2 or x < {number // 3}"))
        return Law(kind, (("w", name), ("x", Name("field", "k/x.a"))), text)
    if kind == "windows":
        return _law_of_windows(pick)
    if kind == "aggregate":
        how = pick.choice(("sum", "max", "min"))
        text = pick.choice((f"t <= {number}", f"t >= {-number // 2}", f"t + x <= {number}"))
        return Law(kind, (("t", Name(how, "k/*.a")), ("x", Name("field", "k/x.b"))), text)
    return _of(kind, f"x + y <= {number}", x="k/x.a", y="k/y.a")


def _law_of_windows(pick: random.Random) -> Law:
    number, names = pick.randrange(0, 6), list[tuple[str, Name]]()
    for word, width_us in zip("wv", pick.sample(WIDTHS_US, 2), strict=True):
        how = pick.choice(("sum_within", "sum_within", "count_within"))
        names.append((word, Name(how, pick.choice(("k/x.a", "k/y.a", "k/*.a", "k/x.b")), width_us)))
    names += [("x", Name("field", "k/x.a")), ("y", Name("field", "k/y.a"))]
    text = pick.choice(
        (
            f"w + v <= {number}",
            f"w - v <= {number}",
            f"2 * w - v + x <= {number}",
            f"v - w >= {-number}",
            f"w >= {-number}",
            f"w + y <= {number}",
            f"w - x <= {number}",
            f"w <= {number // 2} and v <= {number}",
            f"w <= 2 or v <= {number // 2}",
            f"max(w, v) <= {number // 2}",
            f"w * v <= {number}",
            f"abs(w - v) <= {number}",
        )
    )
    return Law("windows", tuple(names), text)


def _of(kind: str, text: str, **names: str) -> Law:
    return Law(kind, tuple((word, Name("field", field)) for word, field in names.items()), text)


def _links(pick: random.Random) -> tuple[Link, ...]:
    ends = (("k/x.a", "k/y.a"), ("k/x.b", "k/x.a"), ("k/y.a", "k/y.b"))
    chosen = pick.sample(ends, pick.choice((1, 2)))
    return tuple(Link(*end, pick.choice((1, 2, -1)), pick.choice((0.0, 10.0, 1_000.0))) for end in chosen)


def _act(pick: random.Random, used: list[str], *, with_sets: bool) -> tuple[Touch, ...]:
    chosen = pick.sample(used, min(len(used), pick.choice((1, 1, 2))))
    made = [_touch(pick, field, with_sets=with_sets) for field in chosen]
    if with_sets and pick.random() < 0.1:
        made.append(_touch(pick, chosen[0], with_sets=True))
    return tuple(made)


def _touch(pick: random.Random, field: str, *, with_sets: bool) -> Touch:
    name = field.rsplit(".", 1)[1]
    if name in ("a", "b"):
        is_set = with_sets and pick.random() < 0.5
        return (
            Touch(field, "set", pick.randrange(-2, 7)) if is_set else Touch(field, "add", pick.choice((-3, -1, 1, 2)))
        )
    if name == "s" and pick.random() < 0.8:
        return Touch(field, pick.choice(("append", "remove")), pick.choice(("m", "n", "o")))
    return Touch(field, "set", _value(pick, name))


def simpler(world: Small) -> list[Small]:
    """Return what is left with one act less."""
    return [
        replace(world, acts=(*world.acts[:place], *world.acts[place + 1 :])) for place in range(len(world.acts) - 1)
    ]
