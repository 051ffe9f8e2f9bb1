"""What the API tells and orders of all but tasks: sessions, questions, agents, stops, the node."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of

import msgspec

from comity.core.codec import decode
from comity.core.errors import UsageError
from comity.core.ids import show_id
from comity.journal.ports import NodeRow, TaskFilter
from comity.journal.spec import AgentSpec, Outside
from comity.kernel import stops
from comity.kernel.session import NAMESPACE as SESSION
from comity.kernel.session import read_conversation, session_key
from comity.runtime.burial import url_of
from comity.runtime.config_keys import without_password
from comity.runtime.nodes import nodes_up
from comity.runtime.on_wire import on_the_wire
from comity.runtime.programs import StoredPrograms, register_outside
from comity.runtime.words import one_line
from comity.server.asking import Ask
from comity.server.bodies import AGENT_NAME, AgentBody, AnswerBody, SessionQuery, SessionsQuery, StopBody
from comity.server.documents import task_document, wire_document
from comity.server.escalations import admission_questions, answer_admission
from comity.server.fleet_documents import (
    AgentDocument,
    AgentList,
    AnswerDocument,
    CatalogToolDocument,
    ConversationDocument,
    HereDocument,
    LiftedDocument,
    NodeDocument,
    QuestionList,
    SessionList,
    StopList,
    StoppedDocument,
    ToolList,
    agent_document,
    catalog_document,
    catalog_tool_document,
    question_document,
    session_document,
    stop_document,
)


async def sessions(ask: Ask) -> SessionList:
    """List sessions."""
    query: SessionsQuery = ask.query
    rows = await ask.site.store.states(SESSION, f"{query.tenant}/" if query.tenant else "")
    return SessionList([session_document(row) for row in rows])


async def session(ask: Ask) -> ConversationDocument:
    """Show a session: its messages and its newest tasks."""
    query: SessionQuery = ask.query
    store, name = ask.site.store, ask.path["session"]
    row = await store.state(SESSION, session_key(query.tenant, name))
    tasks = await store.tasks(TaskFilter(session=name, tenant=query.tenant))
    if row is None and not tasks:
        text = f"tenant `{query.tenant}` has no session `{name}`"
        raise UsageError("no_such_session", text, hint="`comity sessions ls` lists them")
    hashes = read_conversation(row.value).segments if row is not None else ()
    found = await store.segments(query.tenant, hashes[-query.last :] if query.last else hashes)
    documents = [task_document(task) for task in tasks]
    return ConversationDocument(query.tenant, name, [decode(data) for data in found], documents)


async def questions(ask: Ask) -> QuestionList:
    """List what agents ask people."""
    asked = [question_document(item) for item in await ask.orders.questions()]
    return QuestionList(sorted([*asked, *await admission_questions(ask)], key=lambda item: item.asked_at or ""))


async def answer(ask: Ask) -> AnswerDocument:
    """Answer a question."""
    body: AnswerBody = ask.body
    call = int(ask.path["call"])
    if not await answer_admission(ask, call, body.answer):
        await ask.orders.answer(ask.task, call, body.answer)
    return AnswerDocument(show_id(ask.task), call, body.answer)


async def agents(ask: Ask) -> AgentList:
    """List registered agents."""
    found = await StoredPrograms(ask.site.store).all()
    return AgentList([agent_document(spec, program) for spec, program in found])


async def agent(ask: Ask) -> AgentDocument:
    """Show a registered agent."""
    name = ask.path["agent"]
    program = await StoredPrograms(ask.site.store).find(name)
    spec = program.agent(name) if program is not None else None
    if program is None or spec is None:
        raise UsageError("no_such_agent", f"no agent `{name}`", hint="`comity agents ls` lists them")
    return agent_document(spec, program)


async def put_agent(ask: Ask) -> AgentDocument:
    """Register an outside program as an agent."""
    body: AgentBody = ask.body
    name, store = ask.path["agent"], ask.site.store
    if re.fullmatch(AGENT_NAME, name) is None:
        text = f"`{one_line(name, 80)}` cannot name an agent"
        raise UsageError("bad_name", text, hint="take letters, digits, `.`, `_` and `-`, at most 200")
    known = await StoredPrograms(store).find(name)
    spec = known.agent(name) if known is not None else None
    if spec is not None and spec.kind != "outside":
        text = f"agent `{name}` is defined by a file"
        raise UsageError("not_outside", text, hint="take another name for the outside program")
    for pattern in body.outside.volatile_text:
        _check_pattern(pattern)
    given = msgspec.structs.asdict(body)
    outside = Outside(**msgspec.structs.asdict(given.pop("outside")))
    await register_outside(store, name, AgentSpec(name, outside=outside, **given))
    return await agent(ask)


async def tools(ask: Ask) -> ToolList:
    """List the tools of upstreams and of tool files."""
    catalog = ask.site.catalog
    await catalog.refresh()
    return ToolList([catalog_document(entry) for entry in catalog.entries])


async def tool(ask: Ask) -> CatalogToolDocument:
    """Show a tool, and what waits to be accepted of it."""
    catalog = ask.site.catalog
    await catalog.refresh()
    return catalog_tool_document(catalog.entry(ask.path["tool"]))


async def accept_tool(ask: Ask) -> CatalogToolDocument:
    """Accept what a tool's server says of it now."""
    return catalog_tool_document(await ask.site.catalog.accept(ask.path["tool"], ask.who.name))


async def stopped(ask: Ask) -> StopList:
    """List the stops in force."""
    return StopList([stop_document(scope, said) for scope, said in await ask.orders.stopped()])


async def stop(ask: Ask) -> StoppedDocument:
    """Stop a scope."""
    body: StopBody = ask.body
    scope = stops.parse_scope(body.scope)
    return await _standing(ask, scope, await ask.orders.stop(scope))


async def show_stop(ask: Ask) -> StoppedDocument:
    """Tell how far a stop is."""
    scope = stops.parse_scope(ask.path["scope"])
    store = ask.site.store
    if await store.state(stops.NAMESPACE, scope) is None:
        raise UsageError("not_stopped", f"`{scope}` is not stopped", hint="`comity stop --list` shows what is")
    row = await store.state(stops.NAMESPACE, stops.GENERATION)
    return await _standing(ask, scope, row.version if row is not None else 0)


async def lift(ask: Ask) -> LiftedDocument:
    """Lift a stop."""
    scope = stops.parse_scope(ask.path["scope"])
    return LiftedDocument(scope, await ask.orders.lift(scope))


async def here(ask: Ask) -> HereDocument:
    """Tell of the node that answers."""
    node = ask.serving.node
    ahead_s = (await node.store.now_us() - node.clock.wall_us()) / 1e6
    return HereDocument(
        version=version_of("comity"),
        node=show_id(node.id),
        store=without_password(node.store.url),
        tasks=len(node.kernel.runs),
        clock_ahead_s=round(ahead_s, 6),
        nodes=[_node_document(row) for row in await nodes_up(node.store)],
        stopped=[scope for scope, _ in await ask.orders.stopped()],
    )


def _check_pattern(pattern: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        UsageError: it is none.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        text = f"`{one_line(pattern, 80)}` is no regular expression: {error}"
        raise UsageError("bad_pattern", text, hint="it is read as Python's `re` does") from None


async def _standing(ask: Ask, scope: str, generation: int) -> StoppedDocument:
    late = await ask.orders.late(generation)
    listed = [wire_document(row, record) for row, record in await on_the_wire(ask.site.store, scope)]
    return StoppedDocument(
        scope, generation, committed=True, quiesced=not late, on_the_wire=listed, waits_for=len(late)
    )


def _node_document(row: NodeRow) -> NodeDocument:
    return NodeDocument(show_id(row.id), row.host.partition("/")[0], row.pid, url_of(row) or None)
