"""The ports: how kernel, gates, devices and stores meet. `runtime` wires implementations to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from comity.core.codec import Digest
from comity.core.ids import Id
from comity.journal.budget import Budget, Cost, Grant, Usage
from comity.journal.call import Attempt, Call, Permit
from comity.journal.entry import Entry, Logged
from comity.journal.protocol import Delta, Stepped, Streamed, ToBrain
from comity.journal.segment import Segment
from comity.journal.spec import Program, ToolSpec
from comity.journal.task import State, TaskRow
from comity.journal.unit import Answer, Message, StateRow, StateWrite, Unit
from comity.journal.verdict import Verdict


class NodeRow(msgspec.Struct, frozen=True):
    """A node as the store keeps it; `lease_until_us` and `now_us` are by the store's clock.

    `stop_generation` is the newest stop that the node has acknowledged: no permit it gave in that stop's scope can
    still start.
    """

    id: Id
    lease_id: Id
    lease_until_us: int
    host: str
    pid: int
    address: str
    stop_generation: int
    now_us: int
    alive: bool


class TaskFilter(msgspec.Struct, frozen=True):
    """Which tasks to list: every given field must match. Newest first; `before` is the last id of the page before."""

    states: tuple[State, ...] = ()
    agent: str = ""
    session: str = ""
    tenant: str = ""
    parent: Id = b""
    node: Id = b""
    before: Id = b""
    limit: int = 100


class Store(Protocol):
    """Durable truth: an append-only journal, task rows, inboxes, versioned state rows, segments, node leases.

    Guarantees: `tests/contract/test_store.py`. Every method raises `StoreError` where the store cannot be reached or
    is full.
    """

    url: str

    async def open(self) -> None:
        """Connect; refuse a newer schema; migrate an empty store."""
        ...

    async def close(self) -> None:
        """Commit what is queued, then disconnect."""
        ...

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Write each unit or nothing of it, durably; answers come in the order of the units."""
        ...

    async def put_segments(self, tenant: str, segments: Sequence[Segment]) -> None:
        """Write large segments ahead of the entries that will point to them."""
        ...

    async def segments(self, tenant: str, hashes: Sequence[Digest]) -> list[bytes]:
        """Return contents in the order of `hashes`."""
        ...

    async def load(self, task: Id, from_seq: int = 1, limit: int | None = None) -> list[Entry]:
        """Return a task's entries from `from_seq` on, at most `limit` of them."""
        ...

    async def log(self, position: int, limit: int) -> list[Logged]:
        """Return entries of all tasks after `position`, in commit order, without gaps that could fill later."""
        ...

    async def position(self) -> int:
        """Return up to which position `log` shows entries; 0 where it shows none."""
        ...

    async def task(self, task: Id) -> TaskRow | None:
        """Return a task's row."""
        ...

    async def tasks(self, which: TaskFilter) -> list[TaskRow]:
        """List tasks."""
        ...

    async def inbox(self, task: Id) -> list[Message]:
        """Return the messages that no entry has consumed, oldest first."""
        ...

    async def mail(self, node: Id) -> list[Id]:
        """Return the tasks that `node` holds (running or cancelling) and that have messages no entry has consumed."""
        ...

    async def state(self, namespace: str, key: str) -> StateRow | None:
        """Return a state row."""
        ...

    async def states(self, namespace: str, prefix: str = "") -> list[StateRow]:
        """Return the state rows of a namespace whose keys begin with `prefix`, by key."""
        ...

    async def register(self, node: Id, lease_id: Id, lease_s: float, host: str, pid: int, address: str = "") -> NodeRow:
        """Enter a node with a lease that starts now, replacing any earlier row of the same id."""
        ...

    async def renew(self, node: Id, lease_id: Id, lease_s: float) -> NodeRow | None:
        """Extend the lease; None where it ran out *and* somebody declared the node dead, or another replaced it."""
        ...

    async def acknowledge_stop(self, node: Id, lease_id: Id, generation: int) -> None:
        """Write that the node obeys every stop up to `generation`."""
        ...

    async def nodes(self) -> list[NodeRow]:
        """Return all nodes."""
        ...

    async def declare_dead(self, node: Id | None = None) -> list[Id]:
        """Declare nodes dead whose lease ran out by the store's clock, or `node` at once: it was seen gone.

        Their running tasks become queued, their cancelling ones takeable, with a new epoch: nothing fenced by the old
        one can land.
        """
        ...

    async def take(self, node: Id, lease_id: Id, queues: Sequence[str], limit: int) -> list[TaskRow]:
        """Take up to `limit` tasks that are due, each with a new epoch, and return their rows.

        Due: `queued`, or `waiting`, or `cancelling` without a holder, with `not_before_us` (`NEVER_US` where only a
        message wakes it) in the past by the store's clock; of higher priority first, then oldest. A task whose
        session has another task begun and not ended is left, and one over its concurrency limit; one last held by
        another live node is left until `AFFINITY_GRACE_S` after it became due. `queues` empty: all. A taken task is
        `running` (one that was `cancelling` stays so), with reason "" and `not_before_us` 0. A node whose lease ran
        out, was replaced or was declared dead takes nothing.
        """
        ...

    async def next_due_us(self) -> int | None:
        """Return when the next task becomes due by its timer, or its affinity ends, by the store's clock; else None.

        Only moments still to come count: ask before `take`, and none is missed.
        """
        ...

    async def now_us(self) -> int:
        """Return the store's clock."""
        ...

    async def lineage(self) -> str:
        """Return a name that changes when the store is restored or failed over: entries may be gone then."""
        ...

    async def sequence(self, node: Id, lease_id: Id, limit: int = 10_000) -> int:
        """Give up to `limit` entries their leaf in the log's tree, in order of position; return its size.

        One node at a time does so: where another live one is the sequencer, nothing changes.
        """
        ...

    async def leaves(self, start: int = 0, limit: int = 100_000) -> list[Digest]:
        """Return leaf hashes of the log's tree from index `start` on."""
        ...

    def watch(self, on_news: Callable[[], None], *, every: bool = False) -> Callable[[], None]:
        """Call `on_news` (coalesced, on the loop) when anybody, in any process, committed what concerns others.

        That is a new task, a message, state, or a task that gave its worker up; with `every`, whatever this process
        commits; it may be called for less. Returns how to end that.
        """
        ...


class View(msgspec.Struct, frozen=True):
    """The immutable snapshot of a task that a gate sees. Names as in `Created`; `stopped` is a scope in force.

    `round` counts the task's rethinks, `waits` how often this call has waited for a gate already; `last_seq` is the
    journal's last entry. `undoes` is the ticket of the act that this call, its compensation, takes back.
    """

    task: Id
    tenant: str
    session: str
    agent: str
    agent_version: str
    grant: Grant
    budget: Budget
    usage: Usage
    tool: ToolSpec | None
    stopped: str = ""
    rehearsed: bool = False
    round: int = 0
    waits: int = 0
    last_seq: int = 0
    undoes: str = ""


class Gate(Protocol):
    """*authorize* or *admit*: judges a call before it is meant."""

    async def judge(self, call: Call, view: View, now_us: int) -> Verdict:
        """Return the verdict; an exception refuses the call (fail closed)."""
        ...

    def settle(self, call: Call, attempt: Attempt, view: View) -> Sequence[StateWrite]:
        """Return what to write in the outcome's unit: what became of what was reserved."""
        ...


class Shaper(Protocol):
    """*shape*: changes a model call so that only what may be decided can be."""

    async def shape(self, call: Call, view: View) -> Call:
        """Return the call with the envelope in it; deterministic."""
        ...


OnProgress = Callable[[str, float | None], None]


class Hand(Protocol):
    """Performs tools, outside any brain."""

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        """Perform one attempt; the permit is looked at last. What a tool does is an `Attempt`, never raised."""
        ...

    async def cancel(self, permit: Permit) -> None:
        """End a running attempt; it ends `unknown`."""
        ...

    def release(self, task: Id) -> None:
        """Let go of what is kept for a task that leaves this node."""
        ...


class WorldDevice(Protocol):
    """The shared world as an agent reaches it: calls of kind `world`, named `claim`, `release` and `observe`."""

    async def perform(self, permit: Permit, call: Call, view: View) -> Attempt:
        """Perform one attempt. The same `permit.key` again comes to the same; nothing of it is ever in doubt."""
        ...


class ModelRequest(msgspec.Struct, frozen=True):
    """A model call made whole: `messages` are canonical JSON in OpenAI's chat shape, `params` its options.

    One that came in by the gateway names its `wire` format; then `messages` and `rest` are the request's JSON as the
    program wrote it (`rest`: an object without the model and the messages), and the answer is an `Answer`. `envelope`
    is a text that goes behind all of it.
    """

    model: str
    messages: tuple[bytes, ...]
    tools: tuple[dict[str, Any], ...] = ()
    params: dict[str, Any] = {}
    wire: str = ""
    rest: bytes = b""
    envelope: str = ""


class Model(Protocol):
    """A language model."""

    def limits(self, model: str) -> ModelLimits | None:
        """Return what `model` may produce and costs; None where no such model is configured."""
        ...

    def stream(self, permit: Permit, request: ModelRequest) -> AsyncIterator[Delta]:
        """Yield the answer; the last delta carries message and usage. Raises `ComityError` where no answer came."""
        ...


class ModelLimits(msgspec.Struct, frozen=True):
    """Limits and prices of a model. Prices are USD per million tokens, None where unknown."""

    output_tokens_max: int
    context_tokens_max: int | None = None
    usd_per_mtok_in: float | None = None
    usd_per_mtok_out: float | None = None

    def price(self, tokens_in: int, tokens_out: int) -> int:
        """Return millionths of a dollar, rounded up; 0 where prices are unknown."""
        total = tokens_in * (self.usd_per_mtok_in or 0.0) + tokens_out * (self.usd_per_mtok_out or 0.0)
        return -int(-total // 1)

    def cost(self, tokens_in: int, tokens_out: int) -> Cost:
        """Return the cost of so many tokens."""
        return Cost(tokens_in, tokens_out, self.price(tokens_in, tokens_out))


class Brain(Protocol):
    """A running reasoning process of one incarnation, as the kernel sees it."""

    def send(self, message: ToBrain) -> None:
        """Queue a message to it; never blocks, does nothing once it is gone."""
        ...

    def stream(self, piece: Streamed) -> None:
        """Show it a raw piece of a model's answer; only an outside program's door does anything with it."""
        ...

    async def kill(self) -> None:
        """End it at once and return when it is gone."""
        ...


class Brains(Protocol):
    """Starts brains."""

    async def start(self, row: TaskRow, on_step: Callable[[Stepped], None], on_gone: Callable[[str], None]) -> Brain:
        """Start one. `on_step` gets what it says; `on_gone` is called once, with how it ended, when it is dead.

        Raises:
            UsageError: the agent is not there or its file cannot be loaded: the task fails with that.
        """
        ...


class Programs(Protocol):
    """Knows which agent file offers which agent."""

    async def find(self, agent: str) -> Program | None:
        """Return the program that offers `agent`, or None where nobody registered one."""
        ...


class Observer(Protocol):
    """Follows what was committed (detectors, causal map, live feed)."""

    def on_commit(self, entries: Sequence[Logged]) -> None:
        """Take entries in the order of their positions."""
        ...


Performer = Callable[[Permit], Awaitable[Attempt]]
