"""The task of an outside program, over the API: found or created, adopted, watched, finished, paused.

What the server cannot do now is asked for again: a node that is gone comes back, and the task is in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from comity.cli.arguments import read_limits
from comity.core.clock import Clock
from comity.core.errors import ComityError, UsageError
from comity.journal.call import Kind
from comity.journal.task import State
from comity.server.client import ApiClient, part
from comity.server.documents import AccountDocument, AdoptDocument, OrderDocument, TaskDocument, TaskList
from comity.server.event import EndEvent, PageDocument
from comity.server.fleet_documents import AgentDocument

T = TypeVar("T")

WAIT_S = 25
"""How long one look for events lasts."""
PAUSE_S, PAUSE_S_MAX = 0.2, 5.0
PAGE = 500
PART_CHARS_MIN = 4
SHOWN = (Kind.TASK, Kind.HUMAN)
"""Kinds of entries that a supervisor does something about."""


class ProgramTask:
    """One task; made by `create` or `find`. `account` is how it stood when the watch looked last."""

    def __init__(self, ask: Asking, account: AccountDocument) -> None:
        self.account = account
        self.changed = asyncio.Event()
        self._ask = ask
        self._path = f"/tasks/{account.id}"
        self._incarnation = 0

    @classmethod
    async def create(cls, ask: Asking, agent: str, body: dict[str, Any], key: str) -> ProgramTask:
        """Give `agent` a goal, and register it as an outside program where nobody knows it; `key` makes it once.

        Raises:
            UsageError: the agent is no outside program, or the key made another task.
        """
        path = f"/agents/{part(agent)}"
        try:
            known = await ask(lambda api: api.request("GET", path, AgentDocument))
        except UsageError as error:
            if error.code != "no_such_agent":
                raise
            known = await ask(lambda api: api.request("PUT", path, AgentDocument, body={}))
        if known.kind != "outside":
            text = f"agent `{agent}` is defined by a file"
            raise UsageError("not_outside", text, hint="name the program's own: `--agent NAME`")
        whole = {"agent": agent, **body}
        made = await ask(lambda api: api.request("POST", "/tasks", TaskDocument, body=whole, key=key))
        return cls(ask, await _account(ask, made.id))

    @classmethod
    async def find(cls, ask: Asking, text: str) -> ProgramTask:
        """Return the task whose id is, begins or ends with `text`.

        Raises:
            UsageError: none or several are.
        """
        plain = text.strip().lower().replace("-", "")
        if len(plain) == 32:
            return cls(ask, await _account(ask, text.strip()))
        if len(plain) < PART_CHARS_MIN:
            hint = "give it whole, or its last 8 characters; `comity tasks ls` lists them"
            raise UsageError("not_an_id", f"`{text[:60]}` is not the id of a task", hint=hint)
        page = await ask(lambda api: api.request("GET", "/tasks", TaskList, query={"limit": PAGE}))
        ids = [task.id for task in page.tasks if _is_part(task.id.replace("-", ""), plain)]
        if len(ids) != 1:
            code, how = (
                ("ambiguous_id", "fits several tasks") if ids else ("no_such_task", f"is none of the last {PAGE}")
            )
            raise UsageError(code, f"`{text[:60]}` {how}", hint="give the whole id; `comity tasks ls` lists them")
        return cls(ask, await _account(ask, ids[0]))

    @property
    def id(self) -> str:
        """Return its id."""
        return self.account.id

    async def look(self) -> AccountDocument:
        """Return how it stands now."""
        self.account = await _account(self._ask, self.id)
        return self.account

    async def adopt(self, *, renew: bool = True) -> AdoptDocument:
        """Begin a new incarnation; one before is void.

        Raises:
            UsageError: there is one before, and it is not to be renewed; or the task has ended.
        """
        body = {"renew": renew}
        made = await self._ask(lambda api: api.request("POST", f"{self._path}/adopt", AdoptDocument, body=body))
        self._incarnation = made.incarnation
        return made

    async def resume(self, budget: dict[str, Any]) -> None:
        """Let it go on, where it is parked, with some limits set anew."""
        await self._order("resume", {"budget": budget})

    async def pause(self) -> None:
        """Park it, unless it has ended."""
        await self._order("pause")

    async def finish(self, error: str = "") -> None:
        """End it as its program did, unless that has ended it already.

        Raises:
            ComityError: another program has taken its place; the task goes on with that.
        """
        await self._order("finish", {"error": error, "incarnation": self._incarnation})

    async def watch(self) -> None:
        """Keep `account` up to date and set `changed`, until the task has ended."""
        start = self.account.last_seq + 1
        while True:
            query = {"from": start, "wait": WAIT_S}
            page = await self._ask(
                lambda api, query=query: api.request("GET", f"{self._path}/events", PageDocument, query=query)  # type: ignore[misc]
            )
            start = page.from_
            if any(isinstance(event, EndEvent) or event.data.kind in SHOWN for event in page.events):
                await self.look()
                self.changed.set()
                if self.account.state.ended:
                    return

    async def until(self, condition: Callable[[AccountDocument], bool]) -> AccountDocument:
        """Return how it stands once `condition` holds; the watch must be on."""
        while not condition(self.account):
            self.changed.clear()
            await self.changed.wait()
        return self.account

    async def _order(self, name: str, body: dict[str, Any] | None = None) -> None:
        try:
            await self._ask(lambda api: api.request("POST", f"{self._path}/{name}", OrderDocument, body=body))
        except UsageError as error:
            if error.code not in {"task_ended", "not_parked"}:
                raise


class Asking:
    """Asks a server, again where it may be asked again: one that was there and is gone may come back."""

    def __init__(
        self,
        api: ApiClient,
        clock: Clock,
        ready: Callable[[ApiClient], Awaitable[bool]],
        on_silence: Callable[[], None],
    ) -> None:
        """Ask `api`; `on_silence` is told when it does not answer for long.

        `ready` returns once it may be asked, and tells whether its token is of a node that may be gone by then.
        """
        self._api = api
        self._clock = clock
        self._ready = ready
        self._on_silence = on_silence
        self._was_there = False

    async def __call__(self, request: Callable[[ApiClient], Awaitable[T]]) -> T:
        """Return what the request gives.

        Raises:
            ComityError: it is refused; or the server was never there.
        """
        pause_s = PAUSE_S
        while True:
            has_passing_token = await self._ready(self._api)
            try:
                found = await request(self._api)
            except ComityError as error:
                is_passing = has_passing_token and error.code == "unknown_token"
                if not self._was_there or not (is_passing or error.retry == "redo"):
                    raise
                if PAUSE_S_MAX < pause_s <= 2 * PAUSE_S_MAX:
                    self._on_silence()
                await self._clock.sleep(min(pause_s, PAUSE_S_MAX))
                pause_s *= 2
            else:
                self._was_there = True
                return found


def budget_of(limits: Iterable[str]) -> dict[str, Any]:
    """Return what was typed of a budget, as the API takes it.

    Raises:
        UsageError: an unknown limit, or no number.
    """
    found = read_limits(limits)
    if "usd_micro" in found:
        found["usd"] = found.pop("usd_micro") / 1e6
    return found


def has_left(account: AccountDocument) -> bool:
    """Tell whether a task has ended, or takes no calls of its program."""
    return account.state.ended or account.state in (State.PARKED, State.CANCELLING)


async def _account(ask: Asking, task: str) -> AccountDocument:
    return await ask(lambda api: api.request("GET", f"/tasks/{part(task)}", AccountDocument))


def _is_part(whole: str, text: str) -> bool:
    return whole.startswith(text) or whole.endswith(text)
