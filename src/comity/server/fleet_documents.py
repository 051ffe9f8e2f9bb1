"""The documents on all but tasks: sessions, questions, agents, tools, stops."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from comity.core.ids import show_id
from comity.journal.spec import AgentSpec, Effect, Program, ToolSpec
from comity.journal.unit import StateRow
from comity.kernel.session import read_conversation
from comity.runtime.catalog import CatalogEntry
from comity.runtime.orders import Question
from comity.runtime.words import iso
from comity.server.documents import Moment, TaskDocument, Uuid, WireDocument


class SessionDocument(msgspec.Struct, frozen=True):
    """A conversation: whose it is, and how much was said in how many tasks."""

    tenant: str
    session: str
    agent: str
    messages: int
    tasks: int


class ConversationDocument(msgspec.Struct, frozen=True):
    """A conversation with its messages and its newest tasks."""

    tenant: str
    session: str
    messages: list[Any]
    tasks: list[TaskDocument]


class QuestionDocument(msgspec.Struct, frozen=True):
    """A question that nobody answered yet; one with `options` takes one of them.

    One of kind `admission` asks whether a call may pass a rule of the shared world.
    """

    task: Uuid
    call: int
    agent: str
    question: str
    options: list[str]
    asked_at: Moment | None
    kind: Literal["human", "admission"] = "human"


class ToolDocument(msgspec.Struct, frozen=True):
    """A tool of an agent, as its author declared it and its operator tightened it."""

    name: str
    effect: Effect
    description: str
    once: list[str]
    once_per: str | None
    reconcile: str | None
    compensate: str | None
    verify: str | None


class CatalogDocument(ToolDocument, frozen=True):
    """A tool of the catalog: offered where `state` is `accepted` or `file`; else `problem` says why not."""

    title: str
    server: str | None
    file: str | None
    state: str
    problem: str | None
    accepted_by: str | None
    accepted_at: Moment | None


class CatalogToolDocument(CatalogDocument, frozen=True):
    """A tool in full: schemas of arguments and result, annotations, and what waits to be accepted in their place."""

    schema: dict[str, Any]
    output: dict[str, Any]
    annotations: dict[str, Any]
    offered: dict[str, Any] | None


class AgentDocument(msgspec.Struct, frozen=True):
    """A registered agent; `file` and `digest` are empty for an outside one.

    `tools_missing` names those that it declares and nobody offers.
    """

    name: str
    kind: str
    version: str
    description: str
    model: str | None
    agents: list[str]
    tools: list[ToolDocument]
    tools_missing: list[str]
    queue: str
    concurrency_limit: int | None
    on_divergence: str
    file: str
    digest: str


class StopDocument(msgspec.Struct, frozen=True):
    """A stop in force: who gave it, and when."""

    scope: str
    by: str | None
    at: Moment | None


class StoppedDocument(msgspec.Struct, frozen=True):
    """How far a stop is: `quiesced` once nothing can start in its scope, and what was on the wire by then.

    `waits_for` counts the nodes that have not acknowledged it.
    """

    scope: str
    generation: int
    committed: bool
    quiesced: bool
    on_the_wire: list[WireDocument]
    waits_for: int = 0


class LiftedDocument(msgspec.Struct, frozen=True):
    """A stop that was lifted."""

    scope: str
    generation: int
    lifted: bool = True


class SessionList(msgspec.Struct, frozen=True):
    """Sessions, by tenant and name."""

    sessions: list[SessionDocument]


class QuestionList(msgspec.Struct, frozen=True):
    """Open questions, oldest first."""

    questions: list[QuestionDocument]


class AnswerDocument(msgspec.Struct, frozen=True):
    """An answer that was sent."""

    task: Uuid
    call: int
    answer: Any


class AgentList(msgspec.Struct, frozen=True):
    """Registered agents, by name."""

    agents: list[AgentDocument]


class ToolList(msgspec.Struct, frozen=True):
    """The tools that programs may be offered, and those that wait, by name."""

    tools: list[CatalogDocument]


class StopList(msgspec.Struct, frozen=True):
    """The stops in force."""

    stopped: list[StopDocument]


class NodeDocument(msgspec.Struct, frozen=True):
    """A node that is up; `url` is null where it serves no HTTP."""

    id: Uuid
    host: str
    pid: int
    url: str | None


class HereDocument(msgspec.Struct, frozen=True):
    """The node that answers, and what it stands on; `clock_ahead_s` is by how much the store's clock is ahead."""

    version: str
    node: Uuid
    store: str
    tasks: int
    clock_ahead_s: float
    nodes: list[NodeDocument]
    stopped: list[str]


def session_document(row: StateRow) -> SessionDocument:
    """Return a session's state row."""
    tenant, _, session = row.key.partition("/")
    found = read_conversation(row.value)
    return SessionDocument(tenant, session, found.agent, len(found.segments), found.tasks)


def question_document(item: Question) -> QuestionDocument:
    """Return an open question."""
    asked_at = iso(item.asked_us)
    return QuestionDocument(show_id(item.task), item.call, item.agent, item.question, list(item.options), asked_at)


def agent_document(spec: AgentSpec, program: Program) -> AgentDocument:
    """Return a registered agent with its tools."""
    return AgentDocument(
        name=spec.name,
        kind=spec.kind,
        version=program.version(spec),
        description=spec.description,
        model=spec.model or None,
        agents=list(spec.agents),
        tools=[tool_document(tool) for tool in program.tools if tool.name in spec.tools],
        tools_missing=[name for name in spec.tools if program.tool(name) is None],
        queue=spec.queue,
        concurrency_limit=spec.concurrency_limit or None,
        on_divergence=spec.on_divergence,
        file=program.file,
        digest=program.digest,
    )


def tool_document(tool: ToolSpec) -> ToolDocument:
    """Return a tool."""
    return ToolDocument(
        name=tool.name,
        effect=tool.effect,
        description=tool.description,
        once=list(tool.once),
        once_per=tool.once_per if tool.once else None,
        reconcile=tool.reconcile or None,
        compensate=tool.compensate or None,
        verify=tool.verify or None,
    )


def catalog_document(entry: CatalogEntry) -> CatalogDocument:
    """Return a tool as the catalog lists it."""
    return CatalogDocument(**_catalog_fields(entry))


def catalog_tool_document(entry: CatalogEntry) -> CatalogToolDocument:
    """Return a tool in full."""
    spec, waits = entry.spec, entry.pin.offered if entry.pin is not None else None
    return CatalogToolDocument(
        **_catalog_fields(entry),
        schema=spec.schema,
        output=spec.output,
        annotations=spec.annotations,
        offered=msgspec.to_builtins(waits) if waits is not None else None,
    )


def stop_document(scope: str, said: dict[str, Any]) -> StopDocument:
    """Return a stop in force."""
    return StopDocument(scope, said.get("by"), iso(int(said.get("at_us") or 0)))


def _catalog_fields(entry: CatalogEntry) -> dict[str, Any]:
    spec, pin = entry.spec, entry.pin
    return {
        **msgspec.structs.asdict(tool_document(spec)),
        "title": spec.title,
        "server": spec.server or None,
        "file": spec.file or None,
        "state": entry.state,
        "problem": entry.problem or None,
        "accepted_by": (pin.accepted_by or None) if pin is not None else None,
        "accepted_at": iso(pin.accepted_us) if pin is not None else None,
    }
