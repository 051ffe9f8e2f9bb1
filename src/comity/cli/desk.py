"""An operator's desk: what an agent that operates Comity may look at and order, as functions with plain arguments.

The first line of each tool's docstring, and the names and types of its arguments, are told to the agent that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from comity.cli.api import Api
from comity.core.errors import UsageError
from comity.journal.task import State
from comity.journal.world import ClaimMode
from comity.server import fleet_operations, map_operations, order_operations, task_operations, world_operations
from comity.server.bodies import AnswerBody, Limits, ResumeBody, StopBody, TasksQuery
from comity.server.world_bodies import (
    AlarmsQuery,
    ClaimBody,
    ClaimsQuery,
    FieldsQuery,
    MapQuery,
    WhyQuery,
    WouldTouchBody,
)

Json = dict[str, Any]
LOOKING = (
    *("list_tasks", "get_task", "list_questions", "list_stops", "get_stop", "get_world", "list_claims"),
    *("list_detectors", "list_alarms", "get_map", "explain", "would_touch"),
)
ORDERING = (
    *("answer_question", "pause_task", "resume_task", "cancel_task", "stop", "lift_stop"),
    *("claim", "announce", "end_claim"),
)


class Desk:
    """What can be looked at and ordered by an agent that operates Comity; each answer is the API's document."""

    def __init__(self, api: Api) -> None:
        """Ask `api`, with its rights."""
        self._api = api

    async def list_tasks(
        self, state: Sequence[State] = (), agent: str = "", session: str = "", limit: int = 20
    ) -> Json:
        """List tasks, newest first; those in state `parked` need a person."""
        query = TasksQuery(state=tuple(state), agent=agent, session=session, limit=limit)
        return _json(await self._api.ask(task_operations.ls, query=query))

    async def get_task(self, task: str) -> Json:
        """Show a task by its whole id: its calls, what it used, why it is parked, how it ended."""
        return _json(await self._api.ask(task_operations.show, task=task))

    async def list_questions(self) -> Json:
        """List what agents ask people, oldest first."""
        return _json(await self._api.ask(fleet_operations.questions))

    async def list_stops(self) -> Json:
        """List the stops in force."""
        return _json(await self._api.ask(fleet_operations.stopped))

    async def get_stop(self, scope: str) -> Json:
        """Tell whether a stop has quiesced, and what is on the wire."""
        return _json(await self._api.ask(fleet_operations.show_stop, scope=scope))

    async def answer_question(self, task: str, call: int, answer: Any) -> Json:
        """Answer a question; where it has options, with one of them."""
        made = await self._api.ask(fleet_operations.answer, body=AnswerBody(answer), task=task, call=str(call))
        return _json(made)

    async def pause_task(self, task: str) -> Json:
        """Park a task once its calls under way have ended."""
        return _json(await self._api.ask(order_operations.pause, task=task))

    async def resume_task(self, task: str, budget: Mapping[str, Any] | None = None) -> Json:
        """Let a parked task go on; `budget` sets limits anew: `{"usd": 2.0, "tokens": 100000}`."""
        try:
            limits = msgspec.convert(dict(budget or {}), Limits)
        except msgspec.ValidationError as error:
            hint = "`tokens`, `usd`, `calls`, `wall_s` and `context_tokens` are limits"
            raise UsageError("bad_body", f"`budget` is no budget: {error}", hint=hint) from None
        return _json(await self._api.ask(order_operations.resume, body=ResumeBody(limits), task=task))

    async def cancel_task(self, task: str) -> Json:
        """End a task for good; what can be undone is undone."""
        return _json(await self._api.ask(order_operations.cancel, task=task))

    async def stop(self, scope: str) -> Json:
        """Stop task:ID, agent:NAME, session:ID, tenant:NAME or fleet: nothing starts there until it is lifted."""
        return _json(await self._api.ask(fleet_operations.stop, body=StopBody(scope)))

    async def lift_stop(self, scope: str) -> Json:
        """Lift a stop, and wake what it parked."""
        return _json(await self._api.ask(fleet_operations.lift, scope=scope))

    async def get_world(self, fields: Sequence[str] = (), limit: int = 100) -> Json:
        """Show what is believed of the shared world; `fields` are names or patterns such as `service/*`."""
        return _json(await self._api.ask(world_operations.show, query=FieldsQuery(tuple(fields), limit=limit)))

    async def list_claims(self, field: str = "") -> Json:
        """List what people and agents have claimed of the shared world, or of one field of it."""
        return _json(await self._api.ask(world_operations.claims, query=ClaimsQuery(field=field, limit=1_000)))

    async def list_detectors(self) -> Json:
        """List what watches for harm between agents, whether it enforces, and how often it alarmed."""
        return _json(await self._api.ask(map_operations.detectors))

    async def list_alarms(self, detector: str = "", limit: int = 50) -> Json:
        """List the newest alarms of detectors, or of one: on which fields, by whose doing."""
        return _json(await self._api.ask(map_operations.alarms, query=AlarmsQuery(None, detector, limit)))

    async def get_map(self, window_s: float = 3_600.0, focus: str = "") -> Json:
        """Show which agents read and write what, and where their loops close; `focus` is an agent or a field."""
        return _json(await self._api.ask(map_operations.draw, query=MapQuery(window_s=window_s, focus=focus)))

    async def explain(self, of: str) -> Json:
        """Tell what made something happen: a call `TASK/CALL`, a field, a version `FIELD@VERSION`."""
        return _json(await self._api.ask(map_operations.why, query=WhyQuery(of)))

    async def would_touch(self, tool: str, args: Mapping[str, Any]) -> Json:
        """Tell what a call of a tool would touch, and what follows from that; nothing is called."""
        return _json(await self._api.ask(map_operations.would, body=WouldTouchBody(tool, dict(args))))

    async def claim(self, scope: str, for_s: float, mode: ClaimMode = "exclusive", reason: str = "") -> Json:
        """Claim a field, a resource or a pattern of the shared world for so many seconds; agents keep to it."""
        return _json(await self._api.ask(world_operations.claim, body=ClaimBody(scope, for_s, mode, reason)))

    async def announce(self, scope: str, for_s: float, reason: str) -> Json:
        """Announce a change that is made outside Comity, so that no agent corrects it for so many seconds."""
        body = ClaimBody(scope, for_s, "leave-as-is", reason, is_change=True)
        return _json(await self._api.ask(world_operations.claim, body=body))

    async def end_claim(self, claim: str) -> Json:
        """End a claim now, by its id."""
        return _json(await self._api.ask(world_operations.end_claim, claim=claim))


def _json(document: msgspec.Struct) -> Json:
    found: Json = msgspec.to_builtins(document)
    return found
