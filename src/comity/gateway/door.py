"""The door: where outside programs come in. It knows each task's program by its token, and each visit by its task.

For the node it is the brains of outside agents: a task that the kernel takes begins a visit, and ends it when the
kernel lets the task go. A program whose task is not held here is let in once it is, or sent where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from comity.core.codec import Digest
from comity.core.errors import UsageError
from comity.core.ids import Id, show_id
from comity.gateway.forward import Forwarder
from comity.gateway.refusal import Elsewhere, Refusal
from comity.gateway.reply import VisitOver
from comity.gateway.tokens import TaskTokens
from comity.gateway.visit import SILENCE, Visit
from comity.journal.entry import Context, Moved
from comity.journal.naming import is_named
from comity.journal.protocol import Stepped
from comity.journal.spec import Program, ToolSpec
from comity.journal.task import ParkReason, State, TaskRow
from comity.kernel.bell import Bell
from comity.kernel.outside import INCARNATION, incarnation_key
from comity.runtime.burial import url_of
from comity.runtime.node import Node
from comity.runtime.orders import Orders

PATIENCE_S = 40.0
"""So long a request waits for its task to be held somewhere, before its client is told to ask again."""
LOOK_S = 0.25


class Door:
    """The way in of one node."""

    def __init__(self, node: Node, tokens: TaskTokens) -> None:
        """Let programs in to the tasks of `node`."""
        self.node = node
        self.tokens = tokens
        self.clock = node.clock
        self._orders = Orders(node.store, node.clock, node.entropy, "gateway")
        self._visits: dict[Id, Visit] = {}
        self._changed = Bell(node.clock)
        self.forwarder = Forwarder(node.clock)
        node.outside.brains = self
        for left in (node.kernel.on_ended, node.kernel.on_lost):
            left.append(lambda row: self.forget(row.id))

    @property
    def has_world(self) -> bool:
        """Tell whether a shared world is in force."""
        return self.node.coordination.coordinator.world is not None

    @property
    def known(self) -> set[Id]:
        """Return the tasks whose last visit is kept here."""
        return set(self._visits)

    # The kernel's side: the `Brains` port

    async def start(self, row: TaskRow, on_step: Callable[[Stepped], None], on_gone: Callable[[str], None]) -> Visit:
        """Begin a visit for a task that the kernel holds.

        Raises:
            UsageError: nobody registered its agent.
        """
        program = await self.node.programs.find(row.agent)
        spec = program.agent(row.agent) if program is not None else None
        if program is None or spec is None:
            raise UsageError("unknown_agent", f"no agent `{row.agent}`", hint="`comity agents` lists them")
        tools = self._granted(row, program)
        visit = Visit(self, row, spec, tools, on_step, self._visits.get(row.id))
        self._visits[row.id] = visit
        return visit

    def closed(self, visit: Visit) -> None:
        """Take note that a visit is over; the last one of a task is kept while the node may begin another."""
        self._changed.ring()

    def began(self, visit: Visit) -> None:
        """Take note that a visit is open."""
        self._changed.ring()

    def forget(self, task: Id) -> None:
        """Let go of a task that has left this node."""
        self._visits.pop(task, None)

    # The programs' side

    async def visit(self, credential: str) -> Visit:
        """Return the visit of the program whose token this is.

        Raises:
            Refusal: no such program, an old one, or a task that takes no calls now.
            Elsewhere: another node holds the task.
        """
        bearer = self.tokens.read(credential)
        if bearer is None:
            hint = "`comity run -- …` and `comity tasks adopt` give one; provider keys stay with the server"
            raise Refusal(401, "unknown_token", "the API key is no task token of this server", hint)
        return await self.visit_of(*bearer)

    async def visit_of(self, task: Id, incarnation: int) -> Visit:
        """Return the visit of one incarnation of a task's program, once its task is held.

        Raises:
            Refusal, Elsewhere: as `visit`.
        """
        until_s = self.clock.monotonic_s() + PATIENCE_S
        while True:
            heard = self._changed.count
            visit = self._visits.get(task)
            if visit is not None and visit.is_open and visit.incarnation == incarnation:
                visit.heard()
                return visit
            if visit is not None and visit.is_open and visit.incarnation > incarnation:
                raise _replaced(task, incarnation, visit.incarnation)
            await self._wake(task, incarnation)
            if self.clock.monotonic_s() >= until_s:
                text = f"task `{show_id(task)}` is not held by any node yet"
                raise Refusal(503, "task_not_held", text, "ask again", is_final=False, retry_after_s=1)
            await self._changed.wait(heard, LOOK_S)

    async def messages(self, task: Id, head: Digest) -> tuple[bytes, ...]:
        """Return the messages of a context that a task held here has.

        Raises:
            VisitOver: the node has let go of the task.
        """
        run = self.node.kernel.runs.get(task)
        if run is None:
            raise VisitOver
        return await run.contexts.messages(Context(head, head, ()))

    def look_for_model(self, model: str) -> None:
        """Refuse a model that is not configured, before anything is journaled.

        Raises:
            Refusal: it is not.
        """
        if self.node.models.limits(model) is None:
            near = get_close_matches(model, self.node.models.names, 1)
            hint = f"did you mean `{near[0]}`?" if near else f'add `[models."{model}"]` to comity.toml'
            raise Refusal(404, "unknown_model", f"there is no model `{model}`", hint)

    # Where a task stands

    async def _wake(self, task: Id, incarnation: int) -> None:
        """Have a task that nobody holds taken; refuse where it takes no calls.

        Raises:
            Refusal, Elsewhere: as `visit`.
        """
        row = await self.node.patient.task(task)
        if row is None:
            raise Refusal(401, "unknown_token", f"there is no task `{show_id(task)}`")
        if row.state.ended:
            raise Refusal(410, "task_ended", f"task `{show_id(task)}` has {row.state}", "create another task")
        if row.state is State.PARKED:
            await self._wake_parked(row, incarnation)
        elif row.state in (State.RUNNING, State.CANCELLING) and row.node != self.node.id:
            await self._look_elsewhere(row)
        elif row.state is State.CANCELLING:
            raise Refusal(403, "task_cancelled", f"task `{show_id(task)}` is being cancelled", "end the program")
        self.node.kernel.poke()

    async def _wake_parked(self, row: TaskRow, incarnation: int) -> None:
        if row.reason == ParkReason.STALLED and await self._was_silent(row.id):
            current = await self.node.store.state(INCARNATION, incarnation_key(row.id))
            if current is not None and current.version > incarnation:
                raise _replaced(row.id, incarnation, current.version)
            await self._orders.resume(row.id)
            return
        hint = f"`comity tasks show {show_id(row.id)}` tells why and what to do"
        raise Refusal(403, "task_parked", f"task `{show_id(row.id)}` is parked: {row.reason}", hint)

    async def _was_silent(self, task: Id) -> bool:
        """Tell whether a task stalled since nothing was heard of its program: what broke otherwise breaks again."""
        for entry in reversed(await self.node.store.load(task)):
            if isinstance(moved := entry.read(), Moved):
                return moved.detail.startswith(SILENCE)
        return False

    async def _look_elsewhere(self, row: TaskRow) -> None:
        for node in await self.node.store.nodes():
            if node.id == row.node and node.alive and url_of(node):
                raise Elsewhere(url_of(node))

    def _granted(self, row: TaskRow, program: Program) -> tuple[ToolSpec, ...]:
        created = self.node.kernel.runs[row.id].ledger.created
        assert created is not None
        return tuple(tool for tool in program.tools if is_named(tool.name, created.grant.tools))


def _replaced(task: Id, incarnation: int, current: int) -> Refusal:
    text = f"incarnation {incarnation} of task `{show_id(task)}` was replaced by {current}"
    return Refusal(401, "old_incarnation", text, "end this program: another one has taken its place")
