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
from comity.server import fleet_operations, order_operations, task_operations
from comity.server.bodies import AnswerBody, Limits, ResumeBody, StopBody, TasksQuery

Json = dict[str, Any]
LOOKING = ("list_tasks", "get_task", "list_questions", "list_stops", "get_stop")
ORDERING = ("answer_question", "pause_task", "resume_task", "cancel_task", "stop", "lift_stop")


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


def _json(document: msgspec.Struct) -> Json:
    found: Json = msgspec.to_builtins(document)
    return found
