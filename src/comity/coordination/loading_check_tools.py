"""Whether tools, detectors, authority, polls and scrapes can be meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from comity.coordination.detectors.panel import KINDS
from comity.coordination.detectors.parameters import parameters
from comity.coordination.document import ToolSection, TouchSection
from comity.coordination.loading_check import Flaws, value_fault
from comity.coordination.loading_names import Found, names_of
from comity.coordination.loading_problem import Path, cut, nearest
from comity.coordination.loading_types import UNKNOWN, constant, field_of, meaning_of
from comity.core.errors import UsageError
from comity.core.expression import Expression, ExpressionError, parse

TOUCHES_MAX: Final = 100
_SERIES: Final = re.compile(r"[a-zA-Z_:][\w:]*(?:\{\s*(?:\w+=\"[^\"\n]*\"\s*,?\s*)*\})?")
_URL: Final = re.compile(r"https?://[^\s/@]+(?:/\S*)?")
_AGENT: Final = re.compile(r"agent:\S+")
_MADE_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("number", "integer"),
    "remove": ("number", "integer", "set"),
    "append": ("set",),
}
"""Which types of fields an operation changes; `set` changes any."""


def check_tools(flaws: Flaws) -> None:
    """Look at the tools' touches, premises and observations."""
    for name, section in flaws.document.tools.items():
        path: Path = ("tools", name)
        if not name.strip() or any(char.isspace() for char in name):
            flaws.tell(path, f"`{cut(name)}` cannot be the name of a tool", "write `drain`, or `SERVER.drain`")
        if len(section.touches) > TOUCHES_MAX:
            flaws.tell((*path, "touches"), f"there are more than {TOUCHES_MAX} touches", "use several tools")
        first = None
        for place, touch in enumerate(section.touches):
            value = _check_touch(flaws, (*path, "touches", place), touch)
            first = value if place == 0 else first
        for place, premise in enumerate(section.premises):
            where = (*path, "premises", place)
            found = flaws.find((*where, "field"), premise.field, may_be_many=False)
            names = {"value": meaning_of(found.fields) if found.fields else UNKNOWN}
            flaws.judge((*where, "holds"), premise.holds, names, wanted="boolean", is_open=True)
        for field, text in section.observes.items():
            flaws.find((*path, "observes", field), field, may_be_many=False)
            flaws.judge((*path, "observes", field), text, {}, is_open=True)
        if section.when:
            flaws.judge((*path, "when"), section.when, {}, wanted="boolean", is_open=True)
        _check_trim(flaws, path, section, first)


def _check_touch(flaws: Flaws, path: Path, touch: TouchSection) -> Expression | None:
    found = flaws.find((*path, "field"), touch.field, may_be_many=False)
    types = {field.type for field in found.fields}
    made_of = _MADE_OF.get(touch.op)
    if types and made_of is not None and not types & {*made_of}:
        hint = "numbers take add and remove, sets append and remove, all take set"
        flaws.tell((*path, "op"), f"`{touch.op}` does not change {field_of(found.fields[0].type)}", hint)
        return None
    expression = flaws.judge((*path, "value"), touch.value, {}, is_open=True)
    if expression is not None and found.fields:
        _check_constant(flaws, (*path, "value"), touch, expression, found)
    return expression


def _check_constant(flaws: Flaws, path: Path, touch: TouchSection, expression: Expression, found: Found) -> None:
    """Tell where a touch always writes a value that its field cannot have."""
    for value in constant(expression):
        faults = []
        for field in found.fields:
            if touch.op == "set" and not isinstance(value, frozenset):
                faults.append(value_fault(value, field))  # type: ignore[arg-type]  # nested lists are no field's value
            elif field.type in _MADE_OF["add"] and not _is_number(value):
                faults.append((f"`{cut(value)}` is no step of a number", "write a number, or the name of an argument"))
        if faults and all(message for message, _ in faults):
            flaws.tell(path, *faults[0])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_trim(flaws: Flaws, path: Path, section: ToolSection, first: Expression | None) -> None:
    if not section.trim:
        return
    if not section.touches:
        flaws.tell((*path, "trim"), "there is no touch to trim", "add `touches:`, or leave it out")
    elif first is not None and section.trim.partition(".")[0] not in first.names:
        hint = nearest(section.trim, first.names) or "let the value of the first touch be this argument"
        flaws.tell((*path, "trim"), f"the value of the first touch does not read `{cut(section.trim)}`", hint)


def check_detectors(flaws: Flaws) -> None:
    """Look whether the detectors are there, and have these parameters."""
    for name, section in flaws.document.detectors.items():
        kind = KINDS.get(name)
        if kind is None:
            flaws.tell(("detectors", name), f"there is no detector `{cut(name)}`", nearest(name, KINDS))
            continue
        for parameter, value in section.parameters.items():
            try:
                parameters(kind.parameters, name, {parameter: value})
            except UsageError as error:
                flaws.tell(("detectors", name, "parameters", parameter), error.message, error.hint)


def check_authority(flaws: Flaws) -> None:
    """Look at who may observe, plan and claim."""
    authority = flaws.document.authority
    for key, also in (("observe", ("poll", "scrape")), ("plan", ()), ("claim", ())):
        granted: Mapping[str, tuple[str, ...]] = getattr(authority, key)
        known = ("operator", *also)
        for pattern, principals in granted.items():
            path: Path = ("authority", key, pattern)
            flaws.find(path, pattern)
            for place, principal in enumerate(principals):
                if principal not in known and not _AGENT.fullmatch(principal):
                    hint = nearest(principal, ("agent:NAME", *known))
                    if principal in _agents(flaws):
                        hint = f"did you mean `agent:{cut(principal)}`?"
                    flaws.tell((*path, place), f"`{cut(principal)}` is nobody who may {key}", hint)


def check_readings(flaws: Flaws) -> None:
    """Look at polls and scrapes."""
    tools = flaws.document.tools
    for name, poll in flaws.document.polls.items():
        path: Path = ("polls", name, "tool")
        if poll.tool not in tools:
            hint = nearest(poll.tool, tools) or "describe it below `tools`, with `observes`"
            flaws.tell(path, f"there is no tool `{cut(poll.tool)}` here", hint)
        elif not tools[poll.tool].observes:
            flaws.tell(path, f"tool `{cut(poll.tool)}` fills no field", "add `observes:` to it")
    for name, scrape in flaws.document.scrapes.items():
        where: Path = ("scrapes", name)
        if not _URL.fullmatch(scrape.url):
            hint = "write `http://HOST:PORT/metrics`, without a password"
            flaws.tell((*where, "url"), "it is no address of a Prometheus endpoint", hint)
        for field, series in scrape.fields.items():
            found = flaws.find_one((*where, "fields", field), field)
            if found.fields and found.fields[0].type not in ("number", "integer", "boolean"):
                flaws.tell(
                    (*where, "fields", field),
                    f"a series does not fill {field_of(found.fields[0].type)}",
                    "series are numbers",
                )
            if not _SERIES.fullmatch(series.strip()):
                hint = 'write `http_requests_total{job="web"}`'
                flaws.tell((*where, "fields", field), f"`{cut(series)}` names no series", hint)


def argument_names(section: ToolSection) -> frozenset[str]:
    """Return the arguments that a tool's declaration reads, so far as it parses.

    A premise's `value` is the field's, unless an argument of that name is touched.
    """
    fields = [touch.field for touch in section.touches] + [premise.field for premise in section.premises]
    roots = {part.partition(".")[0] for field in fields for part in names_of(field)}
    texts: list[tuple[str, tuple[str, ...]]] = [(item.value, ()) for item in section.touches]
    texts += [(item.holds, ("value",)) for item in section.premises]
    texts += [(section.when, ())] if section.when else []
    for text, own in texts:
        try:
            roots |= parse(text).names - {*own}
        except ExpressionError:
            continue
    return frozenset(roots)


def _agents(flaws: Flaws) -> tuple[str, ...]:
    rehearsal = flaws.document.rehearsal
    return tuple(rehearsal.agents) if rehearsal is not None else ()
