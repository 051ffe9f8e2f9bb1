"""Orders of people and programs: create, cancel, pause, resume, resolve, answer, signal, retry, fork, stop, lift.

An order to a task is a message to its inbox, which wakes it where it holds no worker; only the task's owner writes
its journal.
"""

from __future__ import annotations

from typing import Any, Literal, Unpack

import msgspec

from comity.core.clock import Clock
from comity.core.codec import canonical, decode
from comity.core.entropy import Entropy
from comity.core.errors import UsageError
from comity.core.ids import Id, new_id, show_id
from comity.journal.budget import Grant
from comity.journal.naming import is_named, is_pattern
from comity.journal.ports import NodeRow, Store, TaskFilter
from comity.journal.segment import segment
from comity.journal.spec import AgentSpec, Program
from comity.journal.task import ParkReason, State, TaskRow
from comity.journal.unit import GuardFailed, Message, OperatorSubject, StateIs, StateWrite, Unit, Wakes
from comity.kernel import stops
from comity.kernel.create import Options, goal_segments, new_task
from comity.kernel.fork import Changes, could_happen_again, fork
from comity.kernel.ledger import Ledger, Record
from comity.kernel.outside import INCARNATION, incarnation_key
from comity.kernel.waits import QUESTION, question_key


class Question(msgspec.Struct, frozen=True):
    """A question that an agent asked a person and nobody answered yet."""

    task: Id
    call: int
    agent: str
    question: str
    options: tuple[str, ...]
    asked_us: int


class Orders:
    """Orders of one principal (`who`) to one store."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, who: str = "operator") -> None:
        """Order in the name of `who`."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self.who = who

    async def create(self, program: Program, agent: str, goal: Any, **options: Unpack[Options]) -> Id:
        """Create a task and return its id; with a `dedupe` key that was used before, the id of that task.

        Raises:
            UsageError: the agent is not there, or the goal is too large.
        """
        spec = program.agent(agent)
        if spec is None:
            names = ", ".join(item.name for item in program.agents)
            raise UsageError("no_such_agent", f"`{program.file}` offers no agent `{agent}`", hint=f"it offers: {names}")
        data = canonical(goal, "goal")
        at_us = self._clock.wall_us()
        options.setdefault("at_us", at_us)
        options.setdefault("grant", grant_of(program, spec, self.who))
        options.setdefault("version", program.version(spec))
        task = new_task(new_id(self._clock, self._entropy), spec, data, **options)
        unit = Unit(
            OperatorSubject(self.who),
            segments=goal_segments(data),
            tenant=options.get("tenant", "default"),
            spawns=(task,),
        )
        (answer,) = await self._store.commit([unit])
        if isinstance(answer, GuardFailed):
            raise UsageError("not_created", f"the task could not be created: {answer.guard}")
        existing: tuple[Id, ...] = getattr(answer, "existing", ())
        return existing[0] if existing and existing[0] else task.id

    async def row(self, task: Id) -> TaskRow:
        """Return a task's row.

        Raises:
            UsageError: there is no such task.
        """
        row = await self._store.task(task)
        if row is None:
            raise UsageError("no_such_task", f"there is no task `{show_id(task)}`", hint="`comity tasks ls` lists them")
        return row

    async def ledger(self, task: Id) -> Ledger:
        """Return what a task's journal adds up to."""
        return Ledger(task).replay(await self._store.load(task))

    async def cancel(self, task: Id) -> None:
        """Cancel a task: what is reversible is compensated first."""
        await self._order(task, "cancel", {"by": self.who})

    async def pause(self, task: Id) -> None:
        """Park a task once its calls under way have ended."""
        await self._order(task, "pause", {"by": self.who})

    async def resume(self, task: Id, budget: dict[str, Any] | None = None) -> None:
        """Let a parked task go on; `budget` sets new limits."""
        row = await self.row(task)
        if row.state is not State.PARKED:
            raise UsageError(
                "not_parked", f"task `{show_id(task)}` is {row.state}, not parked", hint="only a parked task is resumed"
            )
        await self._order(task, "resume", {"by": self.who, "budget": budget or {}})

    async def signal(self, task: Id, name: str, value: Any = None, sender: str = "") -> None:
        """Send a signal; the same `sender` key sends it once."""
        await self._open_row(task)
        sender = sender or f"{self.who}:{self._entropy.take(8).hex()}"
        await self._send(Message(task, sender, "signal", name, canonical(value, "signal"), Wakes.WAITING))

    async def resolve(
        self, task: Id, call: int, verdict: Literal["happened", "not_happened", "again"], **said: Any
    ) -> None:
        """Say how a call in doubt ended: `happened` (`result`), `not_happened` (the agent is told), or `again`.

        Raises:
            UsageError: the call is not in doubt.
        """
        record = (await self.ledger(task)).calls.get(call)
        if record is None or not record.in_doubt:
            what = "does not exist" if record is None else f"is {record.status}" if not record.open else "is waiting"
            raise UsageError(
                "not_in_doubt",
                f"call `{call}` of task `{show_id(task)}` {what}, not in doubt",
                hint="`comity tasks show` marks the calls in doubt",
            )
        row = await self.row(task)
        if row.state in (State.RUNNING, State.CANCELLING) and not record.unknown:
            raise UsageError(
                "not_in_doubt",
                f"call `{call}` of task `{show_id(task)}` may still run",
                hint="say how it ended once the task is parked",
            )
        about = {"call": call, "attempt": record.attempt, "verdict": verdict, "by": self.who}
        await self._order(task, "resolve", {**about, **said})

    async def in_doubt(self, task: Id) -> list[Record]:
        """Return the calls of a task of which nobody knows whether they happened."""
        return [record for record in (await self.ledger(task)).open_calls() if record.in_doubt]

    async def questions(self) -> list[Question]:
        """Return the open questions to people, oldest first."""
        found = []
        for row in await self._store.states(QUESTION):
            task, _, call = row.key.partition("/")
            value = decode(row.value)
            options = tuple(str(item) for item in value.get("options") or ())
            found.append(
                Question(bytes.fromhex(task), int(call), value["agent"], value["question"], options, value["asked_us"])
            )
        return sorted(found, key=lambda item: item.asked_us)

    async def answer(self, task: Id, call: int, value: Any) -> None:
        """Answer a question.

        Raises:
            UsageError: it is not open, or the answer is none of its options.
        """
        row = await self._store.state(QUESTION, question_key(task, call))
        if row is None:
            raise UsageError(
                "not_asked",
                f"task `{show_id(task)}` has no open question `{call}`",
                hint="`comity questions ls` lists the open ones",
            )
        options = decode(row.value).get("options") or ()
        if options and value not in options:
            raise UsageError("not_an_option", f"`{value}` is no option", hint=f"one of: {', '.join(map(str, options))}")
        message = Message(task, f"answer:{call}", "answer", str(call), canonical(value, "answer"), Wakes.WAITING)
        await self._send(message)

    async def adopt(self, task: Id, *, renew: bool = False) -> int:
        """Take an outside program as the task's, and return its incarnation; the one before is void.

        Raises:
            UsageError: the task has ended, or has a program already and `renew` is False.
        """
        await self._open_row(task)
        key = incarnation_key(task)
        while True:
            row = await self._store.state(INCARNATION, key)
            if row is not None and not renew:
                text = f"task `{show_id(task)}` has a program already (incarnation {row.version})"
                raise UsageError("already_adopted", text, hint="`--renew` adopts another and voids its token")
            number = row.version + 1 if row is not None else 1
            write = StateWrite(INCARNATION, key, b"{}", number - 1)
            value = canonical({"incarnation": number, "by": self.who})
            message = Message(task, f"adopt:{number}", "order", "adopt", value, Wakes.PARKED)
            unit = Unit(OperatorSubject(self.who), state=(write,), sends=(message,))
            (answer,) = await self._store.commit([unit])
            if not isinstance(answer, GuardFailed):
                return number

    async def finish(self, task: Id, result: Any = None, error: str = "", *, incarnation: int = 0) -> None:
        """End the task of an outside program: it succeeded with `result`, or failed with `error`.

        Raises:
            UsageError: the task has ended; or the program of that `incarnation` (0: whichever) was replaced.
        """
        await self._open_row(task)
        value = canonical({"result": result, "error": error, "code": "program_failed" if error else ""}, "finish")
        message = Message(task, self._sender("finish"), "order", "finish", value, Wakes.PARKED)
        guards = (StateIs(INCARNATION, incarnation_key(task), incarnation),) if incarnation else ()
        (answer,) = await self._store.commit([Unit(OperatorSubject(self.who), guards=guards, sends=(message,))])
        if isinstance(answer, GuardFailed):
            text = f"incarnation {incarnation} of task `{show_id(task)}` was replaced"
            raise UsageError("old_incarnation", text, hint="the task goes on with the program that took its place")

    async def retry(self, task: Id, how: Literal["redo", "rethink"]) -> None:
        """Let a failed task go on: `redo` its last call, or `rethink` from its last model call.

        Raises:
            UsageError: the task has not failed.
        """
        row = await self.row(task)
        if row.state is not State.FAILED:
            raise UsageError(
                "not_failed", f"task `{show_id(task)}` is {row.state}, not failed", hint="only a failed task is retried"
            )
        await self._order(task, "retry", {"how": how, "by": self.who})

    async def fork(self, task: Id, at: int, changes: Changes) -> tuple[Id, list[str]]:
        """Fork a task from entry `at`; return the fork, and the effects that a live one may perform once more."""
        row = await self.row(task)
        entries = await self._store.load(task)
        made = fork(new_id(self._clock, self._entropy), row, entries, at, changes, self._clock.wall_us())
        extra = (segment(changes.goal),) if changes.goal else ()
        await self._store.commit([Unit(OperatorSubject(self.who), spawns=(made,), segments=extra, tenant=row.tenant)])
        return made.id, could_happen_again(task, entries, at)

    async def stop(self, scope: str) -> int:
        """Stop a scope; return the generation that nodes will acknowledge. Committed when this returns."""
        return await self._stop_or_lift(scope, canonical({"by": self.who, "at_us": self._clock.wall_us()}))

    async def lift(self, scope: str) -> int:
        """Lift a stop and wake what it parked.

        Raises:
            UsageError: the scope is not stopped.
        """
        scope = stops.parse_scope(scope)
        is_stopped = await self._store.state(stops.NAMESPACE, scope) is not None
        if not is_stopped and not await self._parked_by(scope):  # else an earlier lift was cut off
            raise UsageError("not_stopped", f"`{scope}` is not stopped", hint="`comity stop --list` shows what is")
        generation = await self._stop_or_lift(scope, None)
        for row in await self._parked_by(scope):
            sender = f"lifted:{generation}"
            await self._send(Message(row.id, sender, "order", "lifted", b"{}", Wakes.PARKED))
        return generation

    async def is_quiesced(self, generation: int) -> bool:
        """Tell whether every node has acknowledged a stop, or its lease (and so its permits) have run out."""
        return not await self.late(generation)

    async def late(self, generation: int) -> list[NodeRow]:
        """Return the nodes that have not acknowledged a stop, and whose lease still runs."""
        return [node for node in await self._store.nodes() if node.alive and node.stop_generation < generation]

    async def stopped(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what is stopped, by whom and when."""
        rows = await self._store.states(stops.NAMESPACE)
        return [(row.key, decode(row.value)) for row in rows if row.key != stops.GENERATION]

    async def _stop_or_lift(self, scope: str, value: bytes | None) -> int:
        scope = stops.parse_scope(scope)
        writes = (
            StateWrite(stops.NAMESPACE, scope, value),
            StateWrite(stops.NAMESPACE, stops.GENERATION, b"null"),
        )
        await self._store.commit([Unit(OperatorSubject(self.who), state=writes)])
        row = await self._store.state(stops.NAMESPACE, stops.GENERATION)
        return row.version if row is not None else 0

    async def _parked_by(self, scope: str) -> list[TaskRow]:
        """Return the tasks that this stop alone keeps parked, or kept."""
        found: list[TaskRow] = []
        before = b""
        while page := await self._store.tasks(TaskFilter(states=(State.PARKED,), before=before, limit=500)):
            found += page
            before = page[-1].id
        others = {row.key for row in await self._store.states(stops.NAMESPACE)} - {scope}
        scopes = [(row, stops.scopes_of(row)) for row in found if row.reason == ParkReason.STOPPED]
        return [row for row, its in scopes if scope in its and others.isdisjoint(its)]

    async def _open_row(self, task: Id) -> TaskRow:
        row = await self.row(task)
        if row.state.ended:
            raise UsageError(
                "task_ended", f"task `{show_id(task)}` has {row.state}", hint="an ended task takes no orders or signals"
            )
        return row

    async def _order(self, task: Id, name: str, value: dict[str, Any]) -> None:
        if name != "retry":
            await self._open_row(task)
        sender = self._sender(name)
        wakes = Wakes.FAILED if name == "retry" else Wakes.PARKED
        await self._send(Message(task, sender, "order", name, canonical(value, name), wakes))

    def _sender(self, name: str) -> str:
        return f"{self.who}:{name}:{self._entropy.take(8).hex()}"

    async def _send(self, message: Message) -> None:
        await self._store.commit([Unit(OperatorSubject(self.who), sends=(message,))])


def grant_of(
    program: Program, spec: AgentSpec, who: str, allowed: tuple[str, ...] | None = None, model: str = ""
) -> Grant:
    """Return the grant of a task: declared tools, narrowed to `allowed`, agents, its model and theirs.

    An outside program's is what its section names; `allowed` may be patterns for it.

    Raises:
        UsageError: `allowed` names a tool that the agent does not declare.
    """
    is_outside = spec.kind == "outside"
    for name in allowed or ():
        if name not in spec.tools and not (is_outside and is_pattern(name)):
            raise UsageError(
                "not_declared",
                f"agent `{spec.name}` declares no tool `{name}`",
                hint=f"it declares: {', '.join(spec.tools) or 'none'}",
            )
    tools = spec.tools if allowed is None else tuple(name for name in spec.tools if is_named(name, allowed))
    if is_outside:
        return Grant(tools, (model,) if model else spec.models, spec.agents, who)
    models = {spec.model, model} | {agent.model for agent in program.agents if agent.name in spec.agents}
    return Grant(tools, tuple(sorted(models - {""})), spec.agents, who)
