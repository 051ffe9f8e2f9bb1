"""The reference model of a store: everything in dictionaries, one thing after the other, obviously right.

It holds the same contract as the stores for production and is what they are tested against; kernel tests run on it with
a fake clock. Nothing survives the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from msgspec.structs import replace

from comity.core.clock import Clock
from comity.core.codec import Digest
from comity.core.errors import JournalError
from comity.core.ids import Id
from comity.core.limits import AFFINITY_GRACE_S, NEVER_US
from comity.journal.entry import Entry, Logged, leaf
from comity.journal.ports import NodeRow, TaskFilter
from comity.journal.segment import Segment
from comity.journal.task import NewTask, State, TaskRow
from comity.journal.unit import (
    Answer,
    Fenced,
    GuardFailed,
    InboxSeen,
    Message,
    Receipt,
    StateIs,
    StateRow,
    StateWrite,
    TaskSubject,
    Transition,
    Unit,
    Wakes,
)
from comity.stores.units import GOAL_CHARS_SHOWN, HOLDING, NODE_LOST, WOKEN, check_move, check_unit
from comity.testing.clock import FakeClock

_WOKEN_BY: dict[Wakes, frozenset[State]] = {
    Wakes.NOBODY: frozenset(),
    Wakes.WAITING: frozenset({State.WAITING}),
    Wakes.PARKED: frozenset({State.WAITING, State.PARKED}),
    Wakes.FAILED: frozenset({State.WAITING, State.PARKED, State.FAILED}),
}
_GRACE_US = round(AFFINITY_GRACE_S * 1_000_000)


class MemoryStore:
    """A `Store` in memory. `before_commit`, where set, sees each unit first and may raise in its place."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Start empty; `clock` (a fake one where not given) is the store's."""
        self.url = "memory:"
        self.before_commit: Callable[[Unit], None] | None = None
        self._clock = clock or FakeClock()
        self._last_us = 0
        self._tasks: dict[Id, TaskRow] = {}  # in order of creation
        self._begun: set[Id] = set()
        self._journals: dict[Id, list[Entry]] = {}
        self._log: list[Logged] = []
        self._leaves: list[Digest] = []
        self._sequencer: Id = b""
        self._messages: dict[Id, list[Message]] = {}
        self._senders: set[tuple[Id, str]] = set()
        self._numbers = count(1)
        self._state: dict[tuple[str, str], StateRow] = {}
        self._segments: dict[tuple[str, Digest], bytes] = {}
        self._nodes: dict[Id, NodeRow] = {}
        self._watchers: list[Callable[[], None]] = []
        self._is_news_due = False

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Forget who watches; what was written stays, so that the store can be opened again."""
        self._watchers.clear()

    # ---- units ---------------------------------------------------------------------------------------------

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Write each unit or nothing of it."""
        for unit in units:
            check_unit(unit)
        await asyncio.sleep(0)
        answers = [self._commit(unit) for unit in units]
        self._tell_watchers()
        return answers

    def _commit(self, unit: Unit) -> Answer:
        if self.before_commit is not None:
            self.before_commit(unit)
        fenced = self._fence(unit)
        if fenced is not None:
            return fenced
        new, existing = self._plan_spawns(unit)
        failed = self._first_failure(unit, {spawn.id for spawn in new})
        if failed is not None:
            return failed
        subject = unit.subject
        if isinstance(subject, TaskSubject) and unit.transition is not None:
            check_move(self._tasks[subject.task].state, unit.transition.state)
        self._put(unit.tenant, unit.segments)
        for write in unit.state:
            self._write_state(self._state, write)
        for spawn in new:
            self._create(spawn)
        if isinstance(subject, TaskSubject):
            self._append(subject.task, unit.entries)
            self._consume(subject.task, unit.consumes)
            if unit.transition is not None:
                self._move(subject.task, unit.transition)
        for message in unit.sends:
            self._send(message)
        return Receipt(existing)

    def _fence(self, unit: Unit) -> Fenced | None:
        subject = unit.subject
        if not isinstance(subject, TaskSubject):
            return None
        row = self._tasks.get(subject.task)
        if row is None:
            return Fenced("no such task")
        if row.lease_id != subject.lease_id or row.epoch != subject.epoch:
            return Fenced("lease lost")
        if row.last_seq != subject.expected_seq:
            return Fenced("out of sequence")
        return None

    def _plan_spawns(self, unit: Unit) -> tuple[list[NewTask], tuple[Id, ...]]:
        new: list[NewTask] = []
        existing: list[Id] = []
        for spawn in unit.spawns:
            known: list[TaskRow | NewTask] = [*self._tasks.values(), *new]
            holder = next((item.id for item in known if item.id == spawn.id), b"")
            if not holder and spawn.dedupe:
                same = (item for item in known if (item.tenant, item.dedupe) == (spawn.tenant, spawn.dedupe))
                holder = next((item.id for item in same), b"")
            existing.append(holder)
            if not holder:
                new.append(spawn)
        return new, tuple(existing)

    def _first_failure(self, unit: Unit, new: set[Id]) -> GuardFailed | None:
        for guard in unit.guards:
            if isinstance(guard, StateIs):
                found = self._state.get((guard.namespace, guard.key))
                if found is None or found.version != guard.version:
                    return GuardFailed(guard, found)
            elif not self._has_seen_inbox(unit):
                return GuardFailed(guard, None)
        state = dict(self._state)
        for write in unit.state:
            found = state.get((write.namespace, write.key))
            version = found.version if found else 0
            if write.expected_version is not None and write.expected_version != version:
                return GuardFailed(write, found)
            self._write_state(state, write)
        for message in unit.sends:
            if message.task not in self._tasks and message.task not in new:
                return GuardFailed(message, None)
        return None

    def _has_seen_inbox(self, unit: Unit) -> bool:
        assert isinstance(unit.subject, TaskSubject), f"`{InboxSeen.__name__}` looks at the subject task's inbox"
        return all(message.id in unit.consumes for message in self._messages[unit.subject.task])

    def _write_state(self, state: dict[tuple[str, str], StateRow], write: StateWrite) -> None:
        key = (write.namespace, write.key)
        found = state.get(key)
        if write.value is None:
            state.pop(key, None)
        else:
            state[key] = StateRow(*key, (found.version if found else 0) + 1, write.value)

    def _create(self, new: NewTask) -> None:
        now_us = self._now_us()
        self._tasks[new.id] = TaskRow(
            id=new.id,
            tenant=new.tenant,
            session=new.session,
            agent=new.agent,
            agent_version=new.agent_version,
            goal=new.goal[:GOAL_CHARS_SHOWN],
            state=State.QUEUED,
            reason="",
            queue=new.queue,
            priority=new.priority,
            not_before_us=new.not_before_us,
            node=b"",
            lease_id=b"",
            epoch=0,
            incarnation=0,
            last_seq=0,
            parent=new.parent,
            dedupe=new.dedupe,
            concurrency_key=new.concurrency_key,
            concurrency_limit=new.concurrency_limit,
            created_us=now_us,
            updated_us=now_us,
        )
        self._journals[new.id] = []
        self._messages[new.id] = []
        self._append(new.id, new.entries)

    def _append(self, task: Id, entries: Sequence[Entry]) -> None:
        row = self._tasks[task]
        self._journals[task].extend(entries)
        for entry in entries:
            self._log.append(Logged(len(self._log) + 1, task, entry))
        self._tasks[task] = replace(row, last_seq=row.last_seq + len(entries), updated_us=self._now_us())

    def _consume(self, task: Id, consumes: Sequence[int]) -> None:
        self._messages[task] = [message for message in self._messages[task] if message.id not in consumes]

    def _move(self, task: Id, move: Transition) -> None:
        row = self._tasks[task]
        self._tasks[task] = replace(
            row,
            state=move.state,
            reason=move.reason,
            not_before_us=move.not_before_us,
            lease_id=row.lease_id if move.state in HOLDING else b"",
            incarnation=row.incarnation if move.incarnation is None else move.incarnation,
            agent_version=row.agent_version if move.agent_version is None else move.agent_version,
        )
        if move.state.ended:
            self._begun.discard(task)

    def _send(self, message: Message) -> None:
        if (message.task, message.sender) in self._senders:
            return
        now_us = self._now_us()
        self._senders.add((message.task, message.sender))
        self._messages[message.task].append(replace(message, at_us=message.at_us or now_us, id=next(self._numbers)))
        row = self._tasks[message.task]
        if row.state in _WOKEN_BY[message.wakes]:
            self._tasks[message.task] = replace(
                row, state=State.QUEUED, reason=WOKEN, not_before_us=0, updated_us=now_us
            )

    # ---- reads ---------------------------------------------------------------------------------------------

    async def put_segments(self, tenant: str, segments: Sequence[Segment]) -> None:
        """Write segments."""
        self._put(tenant, segments)

    def _put(self, tenant: str, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self._segments.setdefault((tenant, segment.sha256), segment.data)

    async def segments(self, tenant: str, hashes: Sequence[Digest]) -> list[bytes]:
        """Return contents in the order of `hashes`."""
        for sha256 in hashes:
            if (tenant, sha256) not in self._segments:
                raise JournalError(
                    "missing_segment", f"segment `{sha256.hex()}` of tenant `{tenant}` is not in the store"
                )
        return [self._segments[tenant, sha256] for sha256 in hashes]

    async def load(self, task: Id, from_seq: int = 1, limit: int | None = None) -> list[Entry]:
        """Return a task's entries from `from_seq` on."""
        return [entry for entry in self._journals.get(task, []) if entry.seq >= from_seq][:limit]

    async def log(self, position: int, limit: int) -> list[Logged]:
        """Return entries of all tasks after `position`."""
        return self._log[position : position + limit]

    async def position(self) -> int:
        """Return up to which position `log` shows entries."""
        return len(self._log)

    async def task(self, task: Id) -> TaskRow | None:
        """Return a task's row."""
        return self._tasks.get(task)

    async def tasks(self, which: TaskFilter) -> list[TaskRow]:
        """List tasks."""
        rows = list(self._tasks.values())
        if which.before:
            before = self._tasks.get(which.before)
            rows = rows[: rows.index(before)] if before else []
        wanted = {
            name: value for name in ("agent", "session", "tenant", "parent", "node") if (value := getattr(which, name))
        }
        return [
            row
            for row in reversed(rows)
            if (not which.states or row.state in which.states)
            and all(getattr(row, name) == value for name, value in wanted.items())
        ][: which.limit]

    async def inbox(self, task: Id) -> list[Message]:
        """Return the messages that no entry has consumed, oldest first."""
        return list(self._messages.get(task, []))

    async def mail(self, node: Id) -> list[Id]:
        """Return the tasks that `node` holds and that have messages."""
        return [row.id for row in self._held_by(node) if self._messages[row.id]]

    async def state(self, namespace: str, key: str) -> StateRow | None:
        """Return a state row."""
        return self._state.get((namespace, key))

    async def states(self, namespace: str, prefix: str = "") -> list[StateRow]:
        """Return the state rows of a namespace whose keys begin with `prefix`, by key."""
        rows = [row for row in self._state.values() if row.namespace == namespace and row.key.startswith(prefix)]
        return sorted(rows, key=lambda row: row.key)

    # ---- nodes and their tasks -----------------------------------------------------------------------------

    async def register(self, node: Id, lease_id: Id, lease_s: float, host: str, pid: int, address: str = "") -> NodeRow:
        """Enter a node; tasks of an earlier row of the same id are queued again."""
        self._requeue(node)
        now_us = self._now_us()
        until_us = now_us + round(lease_s * 1_000_000)
        self._nodes[node] = NodeRow(node, lease_id, until_us, host, pid, address, 0, now_us, alive=True)
        self._tell_watchers()
        return self._nodes[node]

    async def renew(self, node: Id, lease_id: Id, lease_s: float) -> NodeRow | None:
        """Extend the lease."""
        row = self._nodes.get(node)
        if row is None or not row.alive or row.lease_id != lease_id:
            return None
        now_us = self._now_us()
        self._nodes[node] = replace(row, lease_until_us=now_us + round(lease_s * 1_000_000), now_us=now_us)
        return self._nodes[node]

    async def acknowledge_stop(self, node: Id, lease_id: Id, generation: int) -> None:
        """Write that the node obeys every stop up to `generation`."""
        row = self._nodes.get(node)
        if row is not None and row.alive and row.lease_id == lease_id:
            self._nodes[node] = replace(row, stop_generation=max(row.stop_generation, generation))
            self._tell_watchers()

    async def nodes(self) -> list[NodeRow]:
        """Return all nodes, by id."""
        now_us = self._now_us()
        return [replace(self._nodes[node], now_us=now_us) for node in sorted(self._nodes)]

    async def declare_dead(self, node: Id | None = None) -> list[Id]:
        """Declare nodes dead, and queue their tasks."""
        now_us = self._now_us()
        dead = [
            row.id
            for row in self._nodes.values()
            if row.alive and (row.id == node if node is not None else row.lease_until_us <= now_us)
        ]
        for name in dead:
            self._nodes[name] = replace(self._nodes[name], alive=False)
            self._requeue(name)
        if dead:
            self._tell_watchers()
        return sorted(dead)

    def _requeue(self, node: Id) -> None:
        now_us = self._now_us()
        for row in self._held_by(node):
            lost = replace(row, lease_id=b"", epoch=row.epoch + 1, not_before_us=0, updated_us=now_us)
            if row.state is State.RUNNING:
                lost = replace(lost, state=State.QUEUED, reason=NODE_LOST)
            self._tasks[row.id] = lost

    def _held_by(self, node: Id) -> list[TaskRow]:
        return [row for row in self._tasks.values() if row.node == node and row.lease_id]

    async def take(self, node: Id, lease_id: Id, queues: Sequence[str], limit: int) -> list[TaskRow]:
        """Take up to `limit` tasks that are due."""
        now_us = self._now_us()
        holder = self._nodes.get(node)
        if holder is None or holder.lease_id != lease_id or not self._is_live(node, now_us):
            return []
        taken: list[TaskRow] = []
        for row in sorted(self._tasks.values(), key=lambda row: -row.priority):
            if len(taken) == limit:
                break
            if (not queues or row.queue in queues) and self._may_take(row, node, now_us):
                state = State.CANCELLING if row.state is State.CANCELLING else State.RUNNING
                taken.append(
                    replace(
                        row,
                        state=state,
                        reason="",
                        not_before_us=0,
                        node=node,
                        lease_id=lease_id,
                        epoch=row.epoch + 1,
                        updated_us=now_us,
                    )
                )
                self._tasks[row.id] = taken[-1]
                self._begun.add(row.id)
        if taken:
            self._tell_watchers()
        return taken

    def _may_take(self, row: TaskRow, node: Id, now_us: int) -> bool:
        if not _may_come_due(row) or row.not_before_us > now_us:
            return False
        if row.node not in (b"", node) and self._is_live(row.node, now_us) and _grace_end_us(row) > now_us:
            return False
        others = [other for other in self._tasks.values() if other.id != row.id and other.tenant == row.tenant]
        if row.session and any(other.session == row.session and other.id in self._begun for other in others):
            return False
        running = [other for other in others if other.lease_id and other.concurrency_key == row.concurrency_key]
        return not row.concurrency_key or len(running) < row.concurrency_limit

    def _is_live(self, node: Id, now_us: int) -> bool:
        row = self._nodes.get(node)
        return row is not None and row.alive and row.lease_until_us > now_us

    async def next_due_us(self) -> int | None:
        """Return when the next task becomes due."""
        now_us = self._now_us()
        due = [row for row in self._tasks.values() if _may_come_due(row)]
        moments = [row.not_before_us for row in due] + [_grace_end_us(row) for row in due if row.node]
        return min((moment for moment in moments if now_us < moment < NEVER_US), default=None)

    async def now_us(self) -> int:
        """Return the store's clock, which never goes back."""
        return self._now_us()

    def _now_us(self) -> int:
        self._last_us = max(self._last_us, self._clock.wall_us())
        return self._last_us

    # ---- log and news --------------------------------------------------------------------------------------

    async def lineage(self) -> str:
        """Return a name that does not change."""
        return "memory"

    async def sequence(self, node: Id, lease_id: Id, limit: int = 10_000) -> int:
        """Give committed entries their leaf."""
        now_us = self._now_us()
        holder = self._nodes.get(node)
        if holder is None or holder.lease_id != lease_id or not self._is_live(node, now_us):
            return len(self._leaves)
        if self._sequencer == node or not self._is_live(self._sequencer, now_us):
            self._sequencer = node
            size = len(self._leaves)
            self._leaves.extend(leaf(item.task, item.entry) for item in self._log[size : size + limit])
        return len(self._leaves)

    async def leaves(self, start: int = 0, limit: int = 100_000) -> list[Digest]:
        """Return leaf hashes from index `start` on."""
        return self._leaves[start : start + limit]

    def watch(self, on_news: Callable[[], None], *, every: bool = False) -> Callable[[], None]:
        """Call `on_news` after commits of any kind, coalesced, on the event loop."""
        self._watchers.append(on_news)
        return lambda: self._watchers.remove(on_news) if on_news in self._watchers else None

    def _tell_watchers(self) -> None:
        if self._watchers and not self._is_news_due:
            self._is_news_due = True
            asyncio.get_running_loop().call_soon(self._tell_news)

    def _tell_news(self) -> None:
        self._is_news_due = False
        for on_news in tuple(self._watchers):
            on_news()


def _may_come_due(row: TaskRow) -> bool:
    return row.state in (State.QUEUED, State.WAITING) or (row.state is State.CANCELLING and not row.lease_id)


def _grace_end_us(row: TaskRow) -> int:
    return max(row.not_before_us, row.updated_us) + _GRACE_US
