"""The context of a task: all that an agent can do.

Each method that is awaited is one call, journaled, and answered from the journal after a crash.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn, Protocol, Unpack

import msgspec

from comity.agents.conversation import Conversation, Message, encoded
from comity.agents.deliberation import Deliberation, deliberate
from comity.agents.loop import Strand
from comity.agents.outcome import value_of
from comity.agents.sequencer import Ended
from comity.core.codec import Digest, canonical, decode
from comity.core.entropy import Generator, generator
from comity.core.errors import UsageError
from comity.core.ids import show_id
from comity.journal.budget import Budget
from comity.journal.call import Kind
from comity.journal.decision import Decision, Option
from comity.journal.program import AGENT, TOOL
from comity.journal.protocol import Start
from comity.journal.segment import EMPTY_HEAD, Segment
from comity.journal.spec import AgentSpec
from comity.journal.world import ClaimMode, FieldValue

ToolRef = Callable[..., Any] | str
"""A tool: the function that `@tool` decorates, or its name."""

Messages = Conversation | Sequence[Mapping[str, Any]] | str
"""What a model is asked: a conversation, messages in OpenAI's chat shape, or the text of one user message."""

# Plain strings: calls are made and compared by the thousand.
_TOOL, _MODEL, _TIMER, _SIGNAL, _HUMAN = (
    kind.value for kind in (Kind.TOOL, Kind.MODEL, Kind.TIMER, Kind.SIGNAL, Kind.HUMAN)
)
_SPAWN, _CHILD, _NOW, _RANDOM, _DECISION, _CONTINUE = (
    kind.value for kind in (Kind.SPAWN, Kind.CHILD, Kind.NOW, Kind.RANDOM, Kind.DECISION, Kind.CONTINUE)
)

_WORLD = Kind.WORLD.value

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Caller(Protocol):
    """What a context needs of its brain."""

    async def call(
        self, kind: str, name: str, args: bytes, base: Digest = EMPTY_HEAD, segments: tuple[Segment, ...] = ()
    ) -> Ended:
        """Ask a call in the strand that runs now, and return how it ended."""
        ...

    def strand(self) -> Strand:
        """Return the strand that runs now."""
        ...

    def say(self, text: str, fraction: float | None) -> None:
        """Pass on a word of progress."""
        ...

    def advance_to(self, now_s: float) -> None:
        """Let virtual time be at least `now_s`."""
        ...

    @property
    def now_s(self) -> float:
        """Return virtual time."""
        ...


class Session:
    """The long-lived conversation that tasks of one agent share, as this task found it, and what it adds."""

    def __init__(self, id: str, found: tuple[bytes, ...]) -> None:
        """Hold the messages `found` (canonical JSON each)."""
        self.id = id
        self.found = found
        self._added: list[bytes] = []

    @property
    def messages(self) -> list[Message]:
        """Return copies of its messages, those that this task added included."""
        return [Message(decode(data)) for data in (*self.found, *self._added)]

    @property
    def appended(self) -> tuple[bytes, ...]:
        """Return what this task adds, as canonical JSON; it is written when the task succeeds."""
        return tuple(self._added)

    def append(self, message: Mapping[str, Any]) -> None:
        """Add a message in OpenAI's chat shape; other tasks see it once this one succeeded."""
        self._added.append(encoded(message))

    def append_encoded(self, data: bytes) -> None:
        """Add a message that is canonical JSON already."""
        self._added.append(data)


class Child:
    """A task that this one spawned."""

    def __init__(self, caller: Caller, agent: str, id: str) -> None:
        """Name the task by its id (36 characters)."""
        self._caller = caller
        self.agent = agent
        self.id = id

    async def result(self) -> Any:
        """Wait until it ends, for days if need be, and return its result.

        Raises:
            CallFailed: it failed or was cancelled.
        """
        ended = await self._caller.call(_CHILD, self.agent, canonical({"task": self.id}))
        return value_of(_CHILD, self.agent, ended.delivered)


class HeldClaim(msgspec.Struct, frozen=True):
    """A claim that this task holds on a part of the shared world, until `until` (RFC 3339) or the task's end."""

    claim: str
    scope: str
    mode: ClaimMode
    until: str


class Context:
    """What an agent is given: its goal, and the one way to reach models, tools, people, time and other agents.

    Guarantees: after a crash the agent starts over, and every call that its journal knows is answered from there.
    """

    def __init__(self, caller: Caller, start: Start, spec: AgentSpec | None) -> None:
        """Ask through `caller` for the task of `start`."""
        self._caller = caller
        self._known = {EMPTY_HEAD, start.session_head}
        self._known.update(item.head for item in start.history if item.head != EMPTY_HEAD)
        self._epoch_us: float | None = None
        self.task_id = show_id(start.task)
        self.agent = start.agent
        self.goal: Any = decode(start.goal)
        self.state: Any = decode(start.state)
        self.session = Session(start.session_id, start.session)
        self.model = start.model or (spec.model if spec else "")

    # ---- thinking ----------------------------------------------------------------------------------------

    async def think(
        self, messages: Messages, *, model: str | None = None, tools: Iterable[ToolRef] = (), **params: Any
    ) -> Message:
        """Ask a model, and return its answer: an assistant message. Append it to a conversation before you go on.

        Args:
            messages: A `Conversation` (the cheapest where it grows), a list of messages, or one user message's text.
            model: The model's name; the task's own by default.
            tools: Tools that the model may propose to call; calling them is up to the agent (`act`).
            **params: Options in the words of OpenAI's chat format, such as `temperature` or `max_tokens`.

        Raises:
            Refused: a gate did not let the call pass.
            CallFailed: no answer came.
        """
        name = model or self.model
        if not name:
            raise UsageError(
                "no_model", "no model is named", hint='name one: `@agent(model="…")`, `think(…, model="…")`'
            )
        conversation = self._conversation(messages)
        head = conversation.head
        names = [tool_name(item) for item in tools]
        args = canonical({"head": head.hex(), "tools": names, "params": params}, "think")
        base, segments = conversation.since(self._known)
        ended = await self._caller.call(_MODEL, name, args, base, segments)
        if ended.head != EMPTY_HEAD:
            self._known.add(ended.head)
        return Message(value_of(_MODEL, name, ended.delivered))

    def _conversation(self, messages: Messages) -> Conversation:
        if isinstance(messages, Conversation):
            conversation = messages
        elif isinstance(messages, str):
            conversation = Conversation([{"role": "user", "content": messages}])
        else:
            strand = self._caller.strand()
            before = strand.conversation or Conversation()
            conversation = strand.conversation = before.extended_to(encoded(item) for item in messages)
        if not len(conversation):
            raise UsageError("no_messages", "`think` was given no messages", hint="give at least one")
        return conversation

    # ---- acting ------------------------------------------------------------------------------------------

    async def act(self, tool: ToolRef, /, **args: Any) -> Any:
        """Call a tool and return its result, as plain JSON values.

        Raises:
            Refused: a gate did not let the call pass; `hint` says what would.
            NotHappened: it failed, and its effect is known not to have happened.
            ToolFailed: it failed otherwise.
        """
        name = tool_name(tool)
        ended = await self._caller.call(_TOOL, name, canonical(args, name))
        return value_of(_TOOL, name, ended.delivered)

    async def decide(
        self, question: str, options: Sequence[str | Option], chosen: str | None = None, **why: Unpack[Deliberation]
    ) -> Decision:
        """Record a decision: what could be done, what was chosen, and why. Without `chosen` a model chooses.

        Args:
            question: The issue.
            options: What could be done; at least one, each with an id of its own.
            chosen: The id of the chosen option, or None to ask the model.
            **why: Factors, arguments, assumptions and the rest of a `Deliberation`.

        Returns:
            The record; `record.chosen` is the id of the option.

        Raises:
            UsageError: `chosen` is none of the options.
            CallFailed: the model, asked twice, named none of them.
        """
        record = await deliberate(self, question, options, chosen, why)
        ended = await self._caller.call(_DECISION, "decide", canonical(record, "decide"))
        value_of(_DECISION, "decide", ended.delivered)
        return record

    # ---- the shared world --------------------------------------------------------------------------------

    async def claim(self, scope: str, mode: ClaimMode = "exclusive", *, for_s: float, reason: str = "") -> HeldClaim:
        """Claim a part of the shared world: others' calls that go against it wait or are refused meanwhile.

        Args:
            scope: A field, a resource, or a pattern of fields (`service/*.instances`).
            mode: `exclusive`, `shared`, `up-only`, `down-only`, `hands-off` or `leave-as-is`.
            for_s: After so many seconds it ends by itself; the task's end ends it too.
            reason: Shown to people; other agents never see it.

        Raises:
            CallFailed: it is too broad or too long, somebody else holds it, or there is no world.
        """
        given = {"scope": scope, "mode": mode, "for_s": for_s, "reason": reason}
        ended = await self._caller.call(_WORLD, "claim", canonical(given, "claim"))
        return HeldClaim(**value_of(_WORLD, "claim", ended.delivered))

    async def release(self, claim: HeldClaim | str) -> None:
        """End a claim of this agent; one that is over already is none to end.

        Raises:
            CallFailed: it is another's.
        """
        name = claim if isinstance(claim, str) else claim.claim
        ended = await self._caller.call(_WORLD, "release", canonical({"claim": name}, "release"))
        value_of(_WORLD, "release", ended.delivered)

    async def observe(self, field: str, value: FieldValue) -> Literal["observed", "proposed", "older"]:
        """Tell what a field of the shared world is now.

        Returns:
            `observed` where the world file lets this agent observe the field; `proposed` where it does not, and the
            value only stands beside; `older` where something newer is known already.

        Raises:
            CallFailed: there is no such field, or it cannot have that value.
        """
        ended = await self._caller.call(_WORLD, "observe", canonical({"field": field, "value": value}, "observe"))
        taken: Literal["observed", "proposed", "older"] = value_of(_WORLD, "observe", ended.delivered)["taken"]
        return taken

    # ---- other agents ------------------------------------------------------------------------------------

    async def spawn(
        self,
        agent: Callable[..., Any] | str,
        goal: Any,
        *,
        session: str = "",
        budget: Budget | None = None,
        tools: Iterable[ToolRef] | None = None,
    ) -> Child:
        """Start a task of another agent. It may do at most what this one may; its budget is carved out of this one's.

        Args:
            agent: The agent, or its name.
            goal: What it is to do, anything that is JSON.
            session: The session that it continues; by default one of its own.
            budget: What it may spend.
            tools: The tools that it may use; by default all that both agents may.
        """
        name = agent if isinstance(agent, str) else _spec_of(agent, AGENT, "an agent").name
        given = {
            "agent": name,
            "goal": goal,
            "session": session,
            "budget": None if budget is None else msgspec.to_builtins(budget),
            "tools": None if tools is None else [tool_name(item) for item in tools],
        }
        ended = await self._caller.call(_SPAWN, name, canonical(given, "spawn"))
        return Child(self._caller, name, value_of(_SPAWN, name, ended.delivered)["task"])

    async def gather(self, *items: Awaitable[Any] | Child) -> list[Any]:
        """Run all of them, each in a strand of its own, and return their results in the order given."""
        return list(await asyncio.gather(*(item.result() if isinstance(item, Child) else item for item in items)))

    # ---- waiting -----------------------------------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        """Wait, for weeks if need be; a waiting task holds no worker."""
        until_s = self._caller.now_s + seconds
        ended = await self._caller.call(_TIMER, "sleep", canonical({"seconds": seconds}))
        self._caller.advance_to(until_s)
        value_of(_TIMER, "sleep", ended.delivered)

    async def wait_signal(self, name: str, timeout_s: float | None = None) -> Any:
        """Wait for a signal of that name and return its value.

        Raises:
            TimedOut: none came within `timeout_s`; it is a `TimeoutError` too.
        """
        ended = await self._caller.call(_SIGNAL, name, canonical({"timeout_s": timeout_s}))
        return value_of(_SIGNAL, name, ended.delivered)["value"]

    async def ask_human(
        self, question: str, options: Sequence[str] | None = None, timeout_s: float | None = None
    ) -> Any:
        """Ask a person and return the answer.

        Raises:
            TimedOut: nobody answered within `timeout_s`, which is neither yes nor no.
        """
        given = {"question": question, "options": None if options is None else list(options), "timeout_s": timeout_s}
        ended = await self._caller.call(_HUMAN, "ask", canonical(given, "ask"))
        return value_of(_HUMAN, "ask", ended.delivered)

    # ---- the clock, chance, progress ---------------------------------------------------------------------

    async def now(self) -> datetime.datetime:
        """Return the time as it was when this was first asked, in UTC."""
        ended = await self._caller.call(_NOW, "now", b"null")
        now_us: int = value_of(_NOW, "now", ended.delivered)
        if self._epoch_us is None:
            self._epoch_us = now_us - self._caller.now_s * 1_000_000
        self._caller.advance_to((now_us - self._epoch_us) / 1_000_000)
        return _EPOCH + datetime.timedelta(microseconds=now_us)

    async def random(self) -> Generator:
        """Return a generator of pseudo-random numbers whose seed is journaled."""
        ended = await self._caller.call(_RANDOM, "random", b"null")
        return generator(bytes.fromhex(value_of(_RANDOM, "random", ended.delivered)))

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Say how far the task is (`fraction` from 0 to 1); it is shown at once, and not said again after a restart."""
        self._caller.say(text, fraction)

    async def continue_with(self, state: Any) -> NoReturn:
        """Close the history and start over: the next brain finds `state` in `context.state`. Never returns."""
        await self._caller.call(_CONTINUE, "continue_with", canonical(state, "state"))
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a continued brain is not delivered to")


def tool_name(tool: ToolRef) -> str:
    """Return the name of a tool given as function or name.

    Raises:
        UsageError: the function is no tool.
    """
    name: str = tool if isinstance(tool, str) else _spec_of(tool, TOOL, "a tool").name
    return name


def _spec_of(thing: Any, attribute: str, what: str) -> Any:
    spec = getattr(thing, attribute, None)
    if spec is None:
        name = getattr(thing, "__name__", repr(thing))
        raise UsageError(
            "not_declared", f"`{name}` is not {what}", hint=f"decorate it with `@{what.split()[1]}`, or give a name"
        )
    return spec
