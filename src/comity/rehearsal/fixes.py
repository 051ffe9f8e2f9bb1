"""Remedies: what could be declared or done so that the counterexample cannot happen; each is explored like it.

A remedy that the world file can say is a patch of it, and what is explored is the patched file.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from comity.coordination.document import AgentSection, RuleSection, ToolSection, WorldDocument
from comity.coordination.naming import Template, canonical_name
from comity.core.errors import UsageError
from comity.core.expression import ExpressionError, parse
from comity.rehearsal.cycles import attained, lasso
from comity.rehearsal.device import Settings
from comity.rehearsal.markdown import named
from comity.rehearsal.model import UnknownField
from comity.rehearsal.patch import Edit, edited, patch_text
from comity.rehearsal.report import Fix
from comity.rehearsal.search import Searched
from comity.rehearsal.stage import Stage, settings_of
from comity.rehearsal.trace import Trace

Explore = Callable[[Stage], list[Searched]]


class Candidate(NamedTuple):
    """A remedy before it was tried: edits of the file, or settings that no file can say."""

    kind: Any
    title: str
    how: str
    breadth: int
    edits: tuple[Edit, ...] = ()
    claims: bool = False
    ordered: bool = False


def remedies(
    document: WorldDocument, stage: Stage, found: Sequence[Searched], trace: Trace, explore: Explore
) -> tuple[Fix, ...]:
    """Return remedies against a counterexample, best first: fewest bad states, least attainment lost, narrowest."""
    plain = plain_of(document)
    acting = _acting(found)
    before = _attainment(found, acting)
    made = []
    for candidate in _candidates(document, stage, trace, found):
        try:
            seen = explore(_remedied(plain, stage, candidate))
        except (UsageError, UnknownField):
            continue  # a patch that does not fit this world is no remedy
        if not seen:
            break
        bad = sum(len(item.bad) for item in seen)
        if trace.ends == "lasso" and not bad:
            bad = sum(lasso(item) is not None for item in seen)
        now = _attainment(seen, acting)
        made.append(
            Fix(
                candidate.kind,
                candidate.title,
                candidate.how,
                bad,
                sum(len(item.parents) for item in seen),
                all(item.is_exhaustive for item in seen),
                round(now, 4),
                round(max(0.0, before - now), 4),
                candidate.breadth,
                patch_text(plain, candidate.edits) if candidate.edits else "",
                candidate.edits,
            )
        )
    return tuple(sorted(made, key=_rank))


def _rank(fix: Fix) -> tuple[int, bool, float, int]:
    return fix.bad_states, not fix.is_exhaustive, fix.attainment_lost, fix.breadth


def plain_of(document: WorldDocument) -> dict[str, Any]:
    """Return a document as plain values."""
    return dict(msgspec.json.decode(msgspec.json.encode(document)))


def _remedied(plain: dict[str, Any], stage: Stage, candidate: Candidate) -> Stage:
    document = msgspec.convert(edited(plain, candidate.edits), WorldDocument)
    settings: Settings = settings_of(document)._replace(claims=candidate.claims, ordered=candidate.ordered)
    return stage.like(document, settings)


def _attainment(found: Sequence[Searched], wanted: set[tuple[str, int]]) -> float:
    """Return the mean over agents: the share of ends with its goal; without one, of its rules (`wanted`) that act."""
    shares = dict(chain.from_iterable(attained(item) for item in found))
    acting = _acting(found)
    for name in {name for name, _ in wanted} - set(shares):
        rules = {item for item in wanted if item[0] == name}
        shares[name] = len(rules & acting) / len(rules)
    return sum(shares.values()) / len(shares) if shares else 1.0


def _acting(found: Sequence[Searched]) -> set[tuple[str, int]]:
    """Return the rules that act in some run."""
    return {
        (item.team.names[place], move.label.act.rule)
        for item in found
        for (place, _, _), moves in item.team.met.items()
        for move in moves
        if move.label.kind == "act" and move.label.act is not None
    }


# What may help


def _candidates(document: WorldDocument, stage: Stage, trace: Trace, found: Sequence[Searched]) -> Iterator[Candidate]:
    assert document.rehearsal is not None
    agents = {name: document.rehearsal.agents[name] for name in trace.agents if name in document.rehearsal.agents}
    yield from _premises(document, agents)
    yield from _compare_and_set(document, agents)
    yield from _generations(stage, found)
    yield from _admission(document, trace)
    if trace.ends == "lasso" or _is_taken_back(trace):
        yield from _dwell(agents)
    touched = sorted({stage.model.fields[place] for name in agents for place in stage.agents[name].footprint().writes})
    scope = ", ".join(f"`{name}`" for name in touched[:4]) or "what it touches"
    yield Candidate(
        "claim",
        "claim what the rule speaks of, from the thought to the act",
        f'each of {named(tuple(agents))} takes `ctx.claim(…, mode="exclusive")` over {scope} and '
        "what an invariant ties to it before it reads, and lets go when it has acted",
        len(agents) + len(touched),
        claims=True,
    )
    if len(agents) > 1:
        yield Candidate(
            "order",
            "let agents act in turn",
            f"nobody acts before those who come first have nothing to do: {named(tuple(agents)).replace(', ', ' → ')}",
            len(agents) + len(touched) + 1,
            ordered=True,
        )


def _premises(document: WorldDocument, agents: dict[str, AgentSection]) -> Iterator[Candidate]:
    """Re-evaluate a rule's condition at the act, as far as it speaks of single fields."""
    found: dict[str, list[dict[str, Any]]] = {}
    for agent in agents.values():
        for rule in agent.rules:
            tool = document.tools.get(rule.do)
            for premise in _premises_of(agent, rule, tool) if tool is not None else ():
                there = [msgspec.to_builtins(item) for item in tool.premises] if tool is not None else []
                if premise not in found.setdefault(rule.do, []) and premise not in there:
                    found[rule.do].append(premise)
    found = {tool: items for tool, items in found.items() if items}
    choices = [[tool] for tool in found] + ([list(found)] if len(found) > 1 else [])
    for tools in choices:
        edits = tuple(Edit(("tools", tool, "premises"), item, is_item=True) for tool in tools for item in found[tool])
        shown = ", ".join(f"`{tool}`" for tool in tools)
        yield Candidate(
            "premise",
            f"check the condition of {shown} again at the act",
            "premises are evaluated at the moment of acting; where one is false the call is refused and the agent "
            "thinks again",
            len(edits),
            edits,
        )


def _premises_of(agent: AgentSection, rule: RuleSection, tool: ToolSection | None) -> Iterator[dict[str, Any]]:
    tree = parse(rule.when).tree
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    for part in parts:
        names = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)} & set(agent.reads)
        if len(names) == 1:
            (name,) = names
            field = _templated(agent.reads[name], rule, tool)
            text = ast.unparse(_Renamed(name).visit(ast.parse(ast.unparse(part), mode="eval")))
            yield {"field": field, "holds": text}


class _Renamed(ast.NodeTransformer):
    def __init__(self, name: str) -> None:
        self._name = name

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("value", node.ctx) if node.id == self._name else node


def _templated(field: str, rule: RuleSection, tool: ToolSection | None) -> str:
    """Return a field with the call's own arguments in it, where these name it."""
    constants = {}
    for name, text in rule.given.items():
        expression = parse(text)
        if not expression.names:
            try:
                constants[name] = str(expression({})).casefold()
            except ExpressionError:
                continue
    for touch in tool.touches if tool is not None else ():
        bound = Template(touch.field).match(canonical_name(field))
        if bound is not None and all(constants.get(name) == value for name, value in bound.items()):
            return touch.field
    return field


def _compare_and_set(document: WorldDocument, agents: dict[str, AgentSection]) -> Iterator[Candidate]:
    """Let a write say which value it saw; refuse it where that is no longer there."""
    assert document.rehearsal is not None
    edits: list[Edit] = []
    tools: dict[str, str] = {}
    for tool_name in dict.fromkeys(rule.do for agent in agents.values() for rule in agent.rules):
        tool = document.tools.get(tool_name)
        uses = [
            (name, number, agent, rule)
            for name, agent in document.rehearsal.agents.items()
            for number, rule in enumerate(agent.rules)
            if rule.do == tool_name
        ]
        if tool is None or not tool.touches or tool.touches[0].op != "set":
            continue
        touch = tool.touches[0]
        reads = [_read_of(agent, rule, tool) for _, _, agent, rule in uses]
        if not all(reads):
            continue
        tools[tool_name] = touch.field
        for (name, number, _, rule), read in zip(uses, reads, strict=True):
            given = {**rule.given, "seen": read}
            edits.append(Edit(("rehearsal", "agents", name, "rules", number, "given"), given))
        edits.append(
            Edit(("tools", tool_name, "premises"), {"field": touch.field, "holds": "value == seen"}, is_item=True)
        )
    if tools:
        shown = ", ".join(f"`{name}`" for name in tools)
        yield Candidate(
            "compare-and-set",
            f"let {shown} write only over the value that was read",
            "each call carries the value that its agent saw (`seen`); it is refused where the field has another by now",
            len(edits),
            tuple(edits),
        )


def _read_of(agent: AgentSection, rule: RuleSection, tool: ToolSection) -> str:
    """Return by which name an agent reads the field that a call of its sets, empty where it does not."""
    wanted = tool.touches[0].field
    return next(
        (name for name, field in agent.reads.items() if field == wanted or _templated(field, rule, tool) == wanted), ""
    )


def _generations(stage: Stage, found: Sequence[Searched]) -> Iterator[Candidate]:
    """Let fields that every agent means to raise only ever grow."""
    raised: dict[int, bool] = {}
    for item in found:
        for (_, shared, _), moves in item.team.met.items():
            values = stage.space.states[shared].values
            acts = [move.label.act for move in moves if move.label.kind == "think" and move.label.act is not None]
            for write in (write for act in acts for write in act.writes):
                before, after = values[write.place], write.value
                is_number = isinstance(before, int | float) and isinstance(after, int | float)
                rises = write.op == "set" and is_number and after > before  # type: ignore[operator]
                raised[write.place] = raised.get(write.place, True) and rises
    paths = set()
    for place in (place for place, is_raised in raised.items() if is_raised):
        name = stage.model.fields[place]
        if not stage.model.world.require(name).generation:
            paths.add(("kinds", stage.model.world.kind_of(name), "fields", name.rpartition(".")[2], "generation"))
    for path in sorted(paths):
        yield Candidate(
            "compare-and-set",
            f"make `{path[1]}.{path[3]}` a generation",
            "every write of it must be strictly newer than what is there, at every act",
            1,
            (Edit(path, value=True),),
        )


def _admission(document: WorldDocument, trace: Trace) -> Iterator[Candidate]:
    """Enforce the broken invariants over everything in flight."""
    keys = [item.invariant.partition("(")[0] for item in trace.broken]
    rules = [name for name in dict.fromkeys(keys) if name in document.invariants]
    edits = [Edit(("invariants", name, "mode"), "enforce") for name in rules]
    if keys and not trace.coordinated:
        edits.append(Edit(("rehearsal", "coordinated"), value=True))
    if edits:
        shown = ", ".join(f"`{name}`" for name in rules) or "`low` and `high`"
        yield Candidate(
            "admission",
            f"enforce {shown} over everything in flight",
            "each call is admitted only if the invariant holds whatever of what is in flight lands; else it is refused "
            "with what would make it admissible",
            max(1, len(rules)),
            tuple(edits),
        )


def _is_taken_back(trace: Trace) -> bool:
    """Tell whether a field moves one way and then the other."""
    signs: dict[str, int] = {}
    for item in (item for step in trace.steps for item in step.changes):
        before, after = item.before, item.after
        is_number = isinstance(before, int | float) and isinstance(after, int | float)
        sign = (1 if after > before else -1) if is_number else 0  # type: ignore[operator]
        if signs.setdefault(item.field, sign) != sign:
            return True
    return False


def _dwell(agents: dict[str, AgentSection]) -> Iterator[Candidate]:
    """Damp reversals."""
    edits = (
        Edit(("detectors", "oscillation", "mode"), "enforce"),
        Edit(("detectors", "oscillation", "action"), "damp"),
        Edit(("rehearsal", "coordinated"), value=True),
    )
    yield Candidate(
        "dwell",
        "damp reversals until the surroundings have moved",
        "the oscillation detector holds a field for a while after a change, so that nobody takes it back at once",
        len(agents) + 2,
        edits,
    )
