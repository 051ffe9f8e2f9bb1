"""The model in Promela, for SPIN: the same steps, each of them atomic, so that both count the same states.

One process, which picks a step in an endless loop; what is no part of a state is hidden. A state that breaks an
invariant leads nowhere but to a failing assertion. Run: `spin -a m.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan -c0`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from comity.coordination.naming import Template
from comity.core.expression import parse
from comity.rehearsal.model import Check
from comity.rehearsal.promela_expression import Codes, translated, unsaid
from comity.rehearsal.rule_agent import RuleAgent
from comity.rehearsal.space import Shared
from comity.rehearsal.stage import Stage
from comity.rehearsal.team import Team


def promela(stage: Stage, agents: Sequence[str]) -> str:
    """Return the model of some agents with the surroundings.

    Raises:
        UsageError: it has what Promela cannot say: faults, fractions, sets, names that are computed.
    """
    return _Writer(stage, stage.team(agents, is_reduced=False)).text()


class _Writer:
    def __init__(self, stage: Stage, team: Team) -> None:
        settings = stage.settings
        if settings.faults or any(late for item in stage.model.influences for _, _, late in item):
            raise unsaid("what happens late or goes wrong", "export the world without `faults` and lags")
        if settings.claims or settings.ordered or settings.dwell:
            raise unsaid("a dwell time", "export the world without it")
        if len(stage.model.starts) != 1:
            raise unsaid("more than one start", "leave one in `rehearsal.starts`")
        self._stage, self._team, self._model = stage, team, stage.model
        self._codes = Codes()
        used: set[int] = set()
        for process in team.processes:
            found = process.footprint()
            used |= found.reads | found.writes
        self._checks = [check for check in self._model.checks if check.is_strict and check.fields & used]
        used |= {place for check in self._checks for place in check.fields}
        self._used = sorted(used)

    def text(self) -> str:
        """Return the whole model."""
        body = list(self._body())
        texts = [f"#define T{code} {code} /* {text} */" for text, code in self._codes.texts.items()]
        head = [f"/* {self._model.document.name or 'a world'}: {', '.join(self._team.names)} */", *texts]
        return "\n".join([*head, *body]) + "\n"

    # Parts

    def _body(self) -> Iterator[str]:
        start = self._stage.space.start(self._model.starts[0])
        yield from self._fields(start)
        for name, agent in self._agents():
            yield f"byte left_{name} = {agent.section.acts_max};"
            yield f"byte act_{name} = 0;"
            yield from (f"int {self._arg(name, arg)} = 0;" for arg in self._args(agent))
        yield from (f"byte times_{number} = 0;" for number in range(len(self._moves())))
        yield f"#define BAD (!({' && '.join(self._condition(check) for check in self._checks) or '1'}))"
        enforced = " && ".join(self._condition(check) for check in self._checks if check.is_enforced) or "1"
        yield f"#define ADMISSIBLE ({enforced})"
        yield "active proctype world() {"
        yield "end:"
        yield "  do"
        yield "  :: d_step { BAD -> assert(false) }"
        for name, agent in self._agents():
            yield from self._agent(name, agent)
        for number, name in enumerate(self._moves()):
            yield from self._move(number, name)
        yield "  od"
        yield "}"

    def _fields(self, start: Shared) -> Iterator[str]:
        for place in self._used:
            yield f"int f{place} = {self._codes.of(start.values[place])}; /* {self._model.fields[place]} */"
            yield f"hidden int o{place};"
        for number in range(len(self._model.marks)):
            yield f"int w{number} = 0;"
            yield f"hidden int ow{number};"
        yield "hidden int delta;"
        yield "hidden byte ok;"

    def _agent(self, name: str, agent: RuleAgent) -> Iterator[str]:
        reads = {own: self._field(field) for own, field in agent.section.reads.items()}
        before = ""
        for number, rule in enumerate(agent.section.rules):
            when = translated(parse(rule.when), reads, self._codes)
            sets = [f"act_{name} = {number + 1}"]
            for arg, text in rule.given.items():
                sets.append(f"{self._arg(name, arg)} = {translated(parse(text), reads, self._codes)}")
            guard = f"!BAD && act_{name} == 0 && left_{name} > 0{before} && {when}"
            yield f"  :: d_step {{ ({guard}) -> {'; '.join(sets)} }}"
            yield from self._act(name, agent, number)
            before += f" && !{when}"

    def _act(self, name: str, agent: RuleAgent, number: int) -> Iterator[str]:
        """Write the act of one rule: refused where a premise is false or admission objects, else done."""
        rule = agent.section.rules[number]
        section = self._model.handling(rule.do).section
        if section.trim and self._stage.settings.coordinated:
            raise unsaid(f"the trimming of `{rule.do}`", "export it uncoordinated, or leave `trim` out")
        args = {arg: self._arg(name, arg) for arg in rule.given}
        constants = {arg: value({}) for arg, text in rule.given.items() if not (value := parse(text)).names}
        tests = [translated(parse(section.when), args, self._codes)] if section.when else []
        rests = []
        for item in section.premises:
            names = args | {"value": self._named(item.field, constants)}
            rests.append(translated(parse(item.holds), names, self._codes))
        writes: list[str] = []
        for touch in section.touches:
            self._fits(touch.field, constants)
            place = self._model.place[Template(touch.field).fill(constants)]
            new = translated(parse(touch.value), args, self._codes)
            if self._model.world.require(self._model.fields[place]).generation and touch.op == "set":
                rests.append(f"(f{place} < {new})")
            writes += self._write(place, touch.op, new)
        is_touching = " && ".join(tests) or "1"
        done = [f"act_{name} = 0", *(f"{self._arg(name, arg)} = 0" for arg in self._args(agent))]
        yield f"  :: d_step {{ (!BAD && act_{name} == {number + 1}) ->"
        yield f"       ok = (({' && '.join(rests) or '1'}) || !({is_touching}));"
        yield f"       if :: (ok && {is_touching}) -> {'; '.join([*self._saved(), *writes])} :: else -> skip fi;"
        if self._stage.settings.coordinated:
            restored = "; ".join(self._restored())
            yield f"       if :: (ok && {is_touching} && !ADMISSIBLE) -> ok = 0; {restored} :: else -> skip fi;"
        yield f"       if :: ok -> left_{name}-- :: else -> skip fi;"
        yield f"       {'; '.join(done)} }}"

    def _write(self, place: int, op: str, value: str, *, is_touch: bool = True) -> Iterator[str]:
        if op not in ("set", "add", "remove"):
            raise unsaid(f"`{op}`", "use numbers instead of sets")
        yield f"delta = f{place}"
        yield f"f{place} = " + {"set": value, "add": f"f{place} + {value}", "remove": f"f{place} - {value}"}[op]
        for number, mark in enumerate(self._model.marks):
            if is_touch and place in mark.places:
                step = "1" if mark.is_count or op == "set" else f"(f{place} - delta)"
                yield f"w{number} = w{number} + {step}"
        if self._model.influences[place]:
            yield f"delta = f{place} - delta"
            for target, gain, _ in self._model.influences[place]:
                yield f"f{target} = f{target} + {self._codes.of(gain)} * delta"

    def _saved(self) -> list[str]:
        if not self._stage.settings.coordinated:
            return []
        marks = [f"ow{number} = w{number}" for number in range(len(self._model.marks))]
        return [f"o{place} = f{place}" for place in self._used] + marks

    def _restored(self) -> list[str]:
        marks = [f"w{number} = ow{number}" for number in range(len(self._model.marks))]
        return [f"f{place} = o{place}" for place in self._used] + marks

    def _move(self, number: int, name: str) -> Iterator[str]:
        section = self._model.section.environment[name]
        reads = {own: self._field(field) for own, field in section.reads.items()}
        when = translated(parse(section.when), reads, self._codes)
        kept = [
            f"o{self._model.at(field)} = {translated(parse(text), reads, self._codes)}"
            for field, text in section.set.items()
        ]
        sets = [
            line
            for field in section.set
            for line in self._write(self._model.at(field), "set", f"o{self._model.at(field)}", is_touch=False)
        ]
        yield f"  :: d_step {{ (!BAD && times_{number} < {section.times} && {when}) -> times_{number}++; /* {name} */"
        yield f"       {'; '.join([*kept, *sets])} }}"

    # Names

    def _agents(self) -> Iterator[tuple[str, RuleAgent]]:
        for number, (name, process) in enumerate(zip(self._team.names, self._team.processes, strict=True)):
            if isinstance(process, RuleAgent):
                yield f"{number}", process
            elif process.is_agent:
                raise unsaid(f"agent `{name}`, which is code,", "export agents made of rules")

    def _moves(self) -> list[str]:
        return [
            name for name in self._team.names if name in self._stage.surroundings and name not in self._stage.agents
        ]

    def _args(self, agent: RuleAgent) -> list[str]:
        return list(dict.fromkeys(arg for rule in agent.section.rules for arg in rule.given))

    def _arg(self, agent: str, arg: str) -> str:
        safe = "".join(letter if letter.isascii() and letter.isalnum() else f"_{ord(letter)}_" for letter in arg)
        return f"a{agent}_{safe}"

    def _field(self, field: str) -> str:
        return f"f{self._model.at(field)}"

    def _fits(self, field: str, constants: Mapping[str, object]) -> None:
        if not Template(field).names <= set(constants):
            raise unsaid(f"the touch of `{field}`", "give what names its resource as constant text")

    def _named(self, field: str, constants: Mapping[str, object]) -> str:
        self._fits(field, constants)
        return f"f{self._model.place[Template(field).fill(constants)]}"

    def _condition(self, check: Check) -> str:
        made = {name: self._term(kind, places) for name, (kind, places) in check.readings.items()}
        if check.is_bound and any(self._model.starts[0][place] is None for place in check.fields):
            return "1"
        return translated(check.expression, made, self._codes)

    def _term(self, kind: str, places: tuple[int, ...]) -> str:
        fields = [f"f{place}" for place in places]
        if kind == "field":
            return fields[0]
        if kind.endswith("_within"):
            return f"w{places[0]}"
        if kind == "sum":
            return f"({' + '.join(fields) or '0'})"
        if kind == "count":
            return str(len(fields))
        made = fields[0] if fields else "0"
        for field in fields[1:]:
            made = f"({made} {'>' if kind == 'max' else '<'} {field} -> {made} : {field})"
        return made
