"""An operator's desk: what an agent that operates Comity may look at and order, at a server or at the store itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from comity.core.errors import UsageError
from comity.core.ids import parse_id, show_id
from comity.journal.ports import Store, TaskFilter
from comity.journal.task import State
from comity.kernel import stops
from comity.runtime.nodes import nodes_up
from comity.runtime.on_wire import on_the_wire
from comity.runtime.orders import Orders
from comity.server.bodies import Limits
from comity.server.client import ApiClient, part
from comity.server.documents import OrderDocument, TaskList, task_document, wire_document
from comity.server.fleet_documents import (
    AnswerDocument,
    LiftedDocument,
    QuestionList,
    StopList,
    StoppedDocument,
    question_document,
    stop_document,
)
from comity.server.task_operations import limits_given, read_document

Json = dict[str, Any]
TASKS_MAX = 1_000
LOOKING = ("list_tasks", "get_task", "list_questions", "list_stops", "get_stop")
ORDERING = ("answer_question", "pause_task", "resume_task", "cancel_task", "stop", "lift_stop")


class Desk(Protocol):
    """What can be looked at and ordered; each answer is the document that the API gives.

    The first line of each docstring is told to the agent that uses it.
    """

    async def list_tasks(
        self, state: Sequence[State] = (), agent: str = "", session: str = "", limit: int = 20
    ) -> Json:
        """List tasks, newest first; those in state `parked` need a person."""
        ...

    async def get_task(self, task: str) -> Json:
        """Show a task by its whole id: its calls, what it used, why it is parked, how it ended."""
        ...

    async def list_questions(self) -> Json:
        """List what agents ask people, oldest first."""
        ...

    async def list_stops(self) -> Json:
        """List the stops in force."""
        ...

    async def get_stop(self, scope: str) -> Json:
        """Tell whether a stop has quiesced, and what is on the wire."""
        ...

    async def answer_question(self, task: str, call: int, answer: Any) -> Json:
        """Answer a question; where it has options, with one of them."""
        ...

    async def pause_task(self, task: str) -> Json:
        """Park a task once its calls under way have ended."""
        ...

    async def resume_task(self, task: str, budget: Mapping[str, Any] | None = None) -> Json:
        """Let a parked task go on; `budget` sets limits anew: `{"usd": 2.0, "tokens": 100000}`."""
        ...

    async def cancel_task(self, task: str) -> Json:
        """End a task for good; what can be undone is undone."""
        ...

    async def stop(self, scope: str) -> Json:
        """Stop task:ID, agent:NAME, session:ID, tenant:NAME or fleet: nothing starts there until it is lifted."""
        ...

    async def lift_stop(self, scope: str) -> Json:
        """Lift a stop, and wake what it parked."""
        ...


class ServerDesk:
    """The desk at a server, with the rights of its token."""

    def __init__(self, api: ApiClient) -> None:
        """Ask by `api`."""
        self._api = api

    async def list_tasks(
        self, state: Sequence[State] = (), agent: str = "", session: str = "", limit: int = 20
    ) -> Json:
        """List tasks."""
        named = {"state": list(state), "agent": agent, "session": session}
        query = {"limit": limit, **{name: value for name, value in named.items() if value}}
        return await self._api.request("GET", "/tasks", Json, query=query)

    async def get_task(self, task: str) -> Json:
        """Show a task."""
        return await self._api.request("GET", f"/tasks/{part(task)}", Json)

    async def list_questions(self) -> Json:
        """List open questions."""
        return await self._api.request("GET", "/questions", Json)

    async def list_stops(self) -> Json:
        """List stops."""
        return await self._api.request("GET", "/stops", Json)

    async def get_stop(self, scope: str) -> Json:
        """Tell how far a stop is."""
        return await self._api.request("GET", f"/stops/{part(scope)}", Json)

    async def answer_question(self, task: str, call: int, answer: Any) -> Json:
        """Answer a question."""
        return await self._api.request("POST", f"/questions/{part(task)}/{call}", Json, body={"answer": answer})

    async def pause_task(self, task: str) -> Json:
        """Park a task."""
        return await self._api.request("POST", f"/tasks/{part(task)}/pause", Json)

    async def resume_task(self, task: str, budget: Mapping[str, Any] | None = None) -> Json:
        """Let a parked task go on."""
        body = {"budget": dict(budget or {})}
        return await self._api.request("POST", f"/tasks/{part(task)}/resume", Json, body=body)

    async def cancel_task(self, task: str) -> Json:
        """End a task."""
        return await self._api.request("POST", f"/tasks/{part(task)}/cancel", Json)

    async def stop(self, scope: str) -> Json:
        """Stop a scope."""
        return await self._api.request("POST", "/stops", Json, body={"scope": scope})

    async def lift_stop(self, scope: str) -> Json:
        """Lift a stop."""
        return await self._api.request("DELETE", f"/stops/{part(scope)}", Json)


class StoreDesk:
    """The desk at the store itself, with the rights of who may open it."""

    def __init__(self, store: Store, orders: Orders) -> None:
        """Look into `store`, and give `orders`."""
        self._store = store
        self._orders = orders

    async def list_tasks(
        self, state: Sequence[State] = (), agent: str = "", session: str = "", limit: int = 20
    ) -> Json:
        """List tasks."""
        if not 1 <= limit <= TASKS_MAX:
            raise UsageError("bad_query", f"`limit` is {limit}", hint=f"take 1 to {TASKS_MAX}")
        rows = await self._store.tasks(TaskFilter(tuple(state), agent, session, limit=limit + 1))
        return _json(TaskList([task_document(row) for row in rows[:limit]], len(rows) > limit))

    async def get_task(self, task: str) -> Json:
        """Show a task."""
        return _json(await read_document(self._store, self._orders, await self._orders.row(parse_id(task))))

    async def list_questions(self) -> Json:
        """List open questions."""
        return _json(QuestionList([question_document(item) for item in await self._orders.questions()]))

    async def list_stops(self) -> Json:
        """List stops."""
        return _json(StopList([stop_document(scope, said) for scope, said in await self._orders.stopped()]))

    async def get_stop(self, scope: str) -> Json:
        """Tell how far a stop is."""
        scope = stops.parse_scope(scope)
        if await self._store.state(stops.NAMESPACE, scope) is None:
            raise UsageError("not_stopped", f"`{scope}` is not stopped", hint="`list_stops` shows what is")
        row = await self._store.state(stops.NAMESPACE, stops.GENERATION)
        return await self._standing(scope, row.version if row is not None else 0)

    async def answer_question(self, task: str, call: int, answer: Any) -> Json:
        """Answer a question."""
        asking = parse_id(task)
        await self._orders.answer(asking, call, answer)
        return _json(AnswerDocument(show_id(asking), call, answer))

    async def pause_task(self, task: str) -> Json:
        """Park a task."""
        await self._orders.pause(parse_id(task))
        return await self._sent(task, "pause")

    async def resume_task(self, task: str, budget: Mapping[str, Any] | None = None) -> Json:
        """Let a parked task go on."""
        try:
            limits = msgspec.convert(dict(budget or {}), Limits)
        except msgspec.ValidationError as error:
            hint = "`tokens`, `usd`, `calls`, `wall_s` and `context_tokens` are limits"
            raise UsageError("bad_body", f"`budget` is no budget: {error}", hint=hint) from None
        await self._orders.resume(parse_id(task), limits_given(limits))
        return await self._sent(task, "resume")

    async def cancel_task(self, task: str) -> Json:
        """End a task."""
        await self._orders.cancel(parse_id(task))
        return await self._sent(task, "cancel")

    async def stop(self, scope: str) -> Json:
        """Stop a scope."""
        scope = stops.parse_scope(scope)
        return await self._standing(scope, await self._orders.stop(scope))

    async def lift_stop(self, scope: str) -> Json:
        """Lift a stop."""
        scope = stops.parse_scope(scope)
        return _json(LiftedDocument(scope, await self._orders.lift(scope)))

    async def _sent(self, task: str, order: str) -> Json:
        return _json(OrderDocument(show_id(parse_id(task)), order, bool(await nodes_up(self._store))))

    async def _standing(self, scope: str, generation: int) -> Json:
        is_quiesced = await self._orders.is_quiesced(generation)
        listed = [wire_document(row, record) for row, record in await on_the_wire(self._store, scope)]
        return _json(StoppedDocument(scope, generation, committed=True, quiesced=is_quiesced, on_the_wire=listed))


def _json(document: msgspec.Struct) -> Json:
    found: Json = msgspec.to_builtins(document)
    return found
