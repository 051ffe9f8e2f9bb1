"""The world file: every key, its type, its bounds and its default. Written in YAML, JSON or Python.

Names: a *field name* is `RESOURCE.FIELD`; in templates `{name}` stands for a part of an id, in patterns `*` for any.
What is left out is the stricter choice, but for modes: a new rule only observes until it is told to enforce.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from comity.journal.world import FieldValue, Op, Scalar

Seconds = Annotated[float, msgspec.Meta(ge=0)]
CountFromOne = Annotated[int, msgspec.Meta(ge=1)]
Mode = Literal["observe", "enforce"]
Severity = Literal["block", "warn", "escalate"]
FieldType = Literal["number", "integer", "boolean", "text", "set"]
Relation = Literal["derives", "requires", "capacity", "orders"]


class _Section(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A mapping of the file; a key that it does not know is an error."""


class FieldSection(_Section, frozen=True):
    """`kinds.KIND.fields.FIELD`: numbers lie from `low` to `high`; text is one of `values` where these are given.

    A change shows within `settle_s` of its outcome; numbers that differ by at most `epsilon` are the same. A value
    that was observed longer than `max_age_s` ago is unknown. `generation` marks plan-like fields: each `set` must be
    strictly larger than what is there, at every act. `initial` is the value of a new resource.
    """

    type: FieldType = "number"
    low: float | None = None
    high: float | None = None
    unit: str = ""
    values: tuple[Scalar, ...] = ()
    initial: FieldValue = None
    settle_s: Seconds = 0.0
    epsilon: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_age_s: Seconds | None = None
    generation: bool = False


class KindSection(_Section, frozen=True):
    """`kinds.KIND`: the template of its resources' ids (`service/{name}`), their fields.

    `domain` is the failure domain of its resources, with `{name}` from the id or a label in it. A call whose tool
    matches `scope` (patterns of tool names) without declared touches is recorded as undeclared, and refused where
    `declared_only`. Resources that nobody named appear at the first touch or observation.
    """

    id: str
    fields: dict[str, FieldSection]
    domain: str = ""
    scope: tuple[str, ...] = ()
    declared_only: bool = False


class ResourceSection(_Section, frozen=True):
    """`resources.ID`: a resource that is there from the start; `values` are first proposed values of its fields."""

    labels: dict[str, str] = {}
    domain: str = ""
    values: dict[str, FieldValue] = {}


class DependencySection(_Section, frozen=True, rename={"source": "from", "target": "to"}):
    """`dependencies[]`: field templates `from` → `to`; a change of Δ at `from` means `gain`·Δ at `to` after `lag_s`.

    Only `derives` moves values; the other relations tie fields together for conflicts and the map.
    """

    source: str
    target: str
    relation: Relation = "derives"
    gain: float = 1.0
    lag_s: Seconds = 0.0


class Aggregate(_Section, frozen=True):
    """A number made of many: `sum`, `count`, `max` or `min` of the fields that match a pattern.

    With `within` (`24h`, `90s`) it is about time: what was added to the field within that window, as a `sum` of the
    steps or a `count` of them.
    """

    sum: str = ""
    count: str = ""
    max: str = ""
    min: str = ""
    within: str = ""


class InvariantSection(_Section, frozen=True):
    """`invariants.NAME`: `holds` is an expression over the names in `let`, each a field template or an aggregate.

    All templates of one invariant share their `{names}`; it holds for each way to fill them. `block` refuses what
    could break it, `escalate` asks a person, `warn` tells. What follows from dependencies within `horizon_s` counts.
    """

    let: dict[str, str | Aggregate]
    holds: str
    severity: Severity = "block"
    mode: Mode = "observe"
    horizon_s: Seconds = 300.0
    about: str = ""


class ContractSection(_Section, frozen=True):
    """`contracts.NAME`: what the producers of an artefact (a field template) ensure for its consumers.

    `let` names arguments of the publishing tool by path; `requires` is an expression over them and over `last` (the
    last good one's). Growth beyond `growth_max` × the last good size is drift.
    """

    artefact: str
    requires: str
    let: dict[str, str] = {}
    consumers: tuple[str, ...] = ()
    growth_max: float = 1.5
    mode: Mode = "observe"


class TouchSection(_Section, frozen=True):
    """A touch of a tool; the words of `journal.world.Touch`."""

    field: str
    op: Op = "set"
    value: str = "value"
    settle_s: Seconds | None = None


class PremiseSection(_Section, frozen=True):
    """A premise of a tool; the words of `journal.world.Premise`."""

    field: str
    holds: str
    max_age_s: Seconds | None = None


class ToolSection(_Section, frozen=True):
    """`tools.NAME`: what a tool (of any agent, or `SERVER.TOOL` of an upstream) touches and rests on.

    `observes` maps field templates to expressions over a read tool's result (`result`, and its fields by name).
    `destructive` says that it takes something down; `plan` is the argument that names the plan of which a call is a
    step. `trim` lets admission lower or raise the value of the first touch to what fits, by changing this argument.
    `when` (an expression over the arguments) says which calls touch at all.
    """

    touches: tuple[TouchSection, ...] = ()
    premises: tuple[PremiseSection, ...] = ()
    observes: dict[str, str] = {}
    destructive: bool = False
    plan: str = ""
    trim: str = ""
    when: str = ""


class DetectorSection(_Section, frozen=True):
    """`detectors.NAME`: its parameters, its mode, and what it does when it fires while it is enforced."""

    mode: Mode = "observe"
    action: Literal["notify", "damp", "freeze", "park", "stop"] = "notify"
    parameters: dict[str, float] = {}


class AuthoritySection(_Section, frozen=True):
    """`authority`: who may observe which fields (pattern → principals), issue plans over which, claim as operator.

    A principal is `agent:NAME` (`agent:TENANT/NAME` outside the default tenant), `operator` (whoever holds the operator
    token), or `poll` and `scrape` (below).
    """

    observe: dict[str, tuple[str, ...]] = {}
    plan: dict[str, tuple[str, ...]] = {}
    claim: dict[str, tuple[str, ...]] = {}


class PollSection(_Section, frozen=True):
    """`polls.NAME`: a read tool, called every `every_s` with `args`; its `observes` fills fields."""

    tool: str
    args: dict[str, Any] = {}
    every_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0


class ScrapeSection(_Section, frozen=True):
    """`scrapes.NAME`: a Prometheus endpoint, read every `every_s`.

    `fields` maps field names to series: a metric's name, with `{label="value"}` where it has several.
    """

    url: str
    fields: dict[str, str]
    every_s: Annotated[float, msgspec.Meta(gt=0)] = 15.0


class RuleSection(_Section, frozen=True):
    """A rule of a rehearsed agent: when `when` holds of what it read, it calls tool `do` with these arguments.

    `given` are expressions over what it read.
    """

    do: str
    when: str = "True"
    given: dict[str, str] = {}


class AgentSection(_Section, frozen=True):
    """`rehearsal.agents.NAME`: what it reads (name → field), and its rules, of which the first that applies is acted.

    It acts at most `acts_max` times. With `python` (`module:function` or `file.py:function`) it is real agent code
    instead. `goal` is an expression over what it reads that says whether it got what it wants.
    """

    reads: dict[str, str] = {}
    rules: tuple[RuleSection, ...] = ()
    acts_max: CountFromOne = 2
    goal: str = ""
    python: str = ""


class MoveSection(_Section, frozen=True):
    """`rehearsal.environment.NAME`: a move of the surroundings, at most `times` times: when `when`, then `set`.

    `reads` names fields; `set` maps fields to expressions over them.
    """

    set: dict[str, str]
    reads: dict[str, str] = {}
    when: str = "True"
    times: CountFromOne = 1


class RehearsalSection(_Section, frozen=True):
    """`rehearsal`: who takes part, how the surroundings move, what may go wrong.

    `values` are where it starts; every initial state in `starts` is explored. `faults` may happen up to `faults_max`
    times in a run. `coordinated` says whether calls pass admission.
    """

    agents: dict[str, AgentSection]
    environment: dict[str, MoveSection] = {}
    values: dict[str, FieldValue] = {}
    starts: tuple[dict[str, FieldValue], ...] = ()
    faults: tuple[Literal["crash", "stale", "delay", "duplicate", "lose", "reorder"], ...] = ()
    faults_max: CountFromOne = 1
    coordinated: bool = False
    states_max: CountFromOne = 1_000_000


class WorldDocument(_Section, frozen=True):
    """The whole of a world file."""

    version: Literal[1] = 1
    name: str = ""
    about: str = ""
    kinds: dict[str, KindSection] = {}
    resources: dict[str, ResourceSection] = {}
    dependencies: tuple[DependencySection, ...] = ()
    invariants: dict[str, InvariantSection] = {}
    contracts: dict[str, ContractSection] = {}
    tools: dict[str, ToolSection] = {}
    detectors: dict[str, DetectorSection] = {}
    authority: AuthoritySection = AuthoritySection()
    polls: dict[str, PollSection] = {}
    scrapes: dict[str, ScrapeSection] = {}
    rehearsal: RehearsalSection | None = None
