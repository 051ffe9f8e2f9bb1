"""The rows that a batch of units sees and changes, in PostgreSQL: locked and read at once, written at once.

First round trip: every row that any unit names, tasks first, each kind sorted, so that two nodes wait for each other
instead of deadlocking. Then the units are judged in memory, one after the other. Second round trip: what they changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import count
from typing import Any

import msgspec

from comity.core.codec import Digest
from comity.core.ids import Id
from comity.journal.entry import Entry
from comity.journal.segment import Segment
from comity.journal.task import NewTask, State
from comity.journal.unit import Message, StateIs, StateRow, TaskSubject, Transition, Unit
from comity.stores.codes import kind_code, phase_code
from comity.stores.decode import squeeze
from comity.stores.judge import TaskHead, due_us
from comity.stores.postgres_link import Connection
from comity.stores.postgres_wire import Statement, Wire
from comity.stores.units import GOAL_CHARS_SHOWN, WOKEN

_STATES = {state.value: state for state in State}
StateKey = tuple[str, str]
_INSERT_STATE = """
    INSERT INTO state (namespace, key, version, value)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bytea[])
"""
_INSERT_SEGMENTS = """
    INSERT INTO segments (tenant, sha256, codec, data, at_us)
    SELECT w.*, %s::bigint FROM unnest(%s::text[], %s::bytea[], %s::smallint[], %s::bytea[]) AS w
    ON CONFLICT (tenant, sha256) DO UPDATE SET at_us = greatest(segments.at_us, excluded.at_us)
"""
_UPDATE_STATE = """
    UPDATE state s SET version = c.version, value = c.value
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bytea[]) AS c (namespace, key, version, value)
    WHERE s.namespace = c.namespace AND s.key = c.key
"""


class Wanted:
    """What the units of a batch name."""

    def __init__(self, units: Iterable[Unit]) -> None:
        """Collect the keys of `units`."""
        self.tasks: set[Id] = set()
        self.boxes: set[Id] = set()
        self.guarded: set[StateKey] = set()
        self.written: set[StateKey] = set()
        self.dedupes: set[tuple[str, str]] = set()
        self.spawns = 0
        for unit in units:
            if isinstance(unit.subject, TaskSubject):
                self.tasks.add(unit.subject.task)
            for guard in unit.guards:
                if isinstance(guard, StateIs):
                    self.guarded.add((guard.namespace, guard.key))
                elif isinstance(unit.subject, TaskSubject):
                    self.boxes.add(unit.subject.task)
            self.written.update((write.namespace, write.key) for write in unit.state)
            self.boxes.update(message.task for message in unit.sends)
            for spawn in unit.spawns:
                self.spawns += 1
                self.tasks.add(spawn.id)
                if spawn.dedupe:
                    self.dedupes.add((spawn.tenant, spawn.dedupe))
        self.tasks |= self.boxes
        self.guarded -= self.written


class _Move(msgspec.Struct):
    task: TaskHead
    reason: str
    not_before_us: int
    due_us: int | None
    incarnation: int | None = None
    agent_version: str | None = None


class PostgresRows:
    """The rows of one batch: what was read, and what is to be written."""

    def __init__(self) -> None:
        """Start empty; `read` fills it."""
        self.now_us = 0
        self._tasks: dict[Id, TaskHead] = {}
        self._dedupes: dict[tuple[str, str], Id] = {}
        self._state: dict[StateKey, StateRow] = {}
        self._found: set[StateKey] = set()
        self._unread: dict[Id, set[int]] = {}
        self._senders: set[tuple[Id, str]] = set()
        self._unused: list[int] = []
        self._unnumbered = count(-1, -1)
        self._appended: dict[int, TaskHead] = {}
        self._moved: dict[int, _Move] = {}
        self._entries: list[tuple[Any, ...]] = []
        self._created: list[tuple[Any, ...]] = []
        self._sent: list[tuple[Any, ...]] = []
        self._consumed: list[tuple[int, int]] = []
        self._segments: dict[tuple[str, Digest], tuple[Any, ...]] = {}
        self._touched: set[StateKey] = set()

    # ---- reading -------------------------------------------------------------------------------------------

    async def read(self, wire: Wire, units: Sequence[Unit], now_us: int | None) -> None:
        """Begin a transaction and lock and read what `units` name."""
        wanted = Wanted(units)
        takers: list[Callable[[list[tuple[Any, ...]]], None]] = [lambda _: None]
        asked: list[Statement] = [("BEGIN", ())]

        def ask(take: Callable[[list[tuple[Any, ...]]], None], sql: str, *params: Any) -> None:
            takers.append(take)
            asked.append((sql, params))

        if wanted.tasks:
            ask(
                self._take_tasks,
                "SELECT id, n, state, lease_id, epoch, last_seq FROM tasks WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
                sorted(wanted.tasks),
            )
        if wanted.dedupes:
            ask(
                self._take_dedupes,
                "SELECT t.tenant, t.dedupe, t.id FROM tasks t JOIN unnest(%s::text[], %s::text[]) AS w (tenant, dedupe)"
                " ON t.tenant = w.tenant AND t.dedupe = w.dedupe WHERE t.dedupe <> ''",
                *_columns(sorted(wanted.dedupes)),
            )
        for keys, lock in ((wanted.written, "UPDATE"), (wanted.guarded, "SHARE")):
            if keys:
                ask(
                    self._take_state,
                    "SELECT s.namespace, s.key, s.version, s.value FROM state s"
                    " JOIN unnest(%s::text[], %s::text[]) AS w (namespace, key)"
                    " ON s.namespace = w.namespace AND s.key = w.key"
                    f" ORDER BY s.namespace, s.key FOR {lock} OF s",
                    *_columns(sorted(keys)),
                )
        if wanted.boxes:
            ask(
                self._take_messages,
                "SELECT t.id, i.id, i.sender, i.consumed FROM inbox i JOIN tasks t ON t.n = i.task"
                " WHERE t.id = ANY(%s)",
                sorted(wanted.boxes),
            )
        if wanted.spawns:
            ask(
                self._take_numbers,
                "SELECT nextval(pg_get_serial_sequence('tasks', 'n')) FROM generate_series(1, %s::integer)",
                wanted.spawns,
            )
        ask(self._take_time, "SELECT comity_now(%s::bigint), pg_current_xact_id()::text", now_us)
        for take, found in zip(takers, await wire.batch(asked), strict=True):
            take(found)

    def _take_tasks(self, rows: list[tuple[Any, ...]]) -> None:
        for name, n, state, lease_id, epoch, last_seq in rows:
            self._tasks[name] = TaskHead(n, name, _STATES[state], lease_id, epoch, last_seq)

    def _take_dedupes(self, rows: list[tuple[Any, ...]]) -> None:
        self._dedupes.update({(tenant, dedupe): holder for tenant, dedupe, holder in rows})

    def _take_state(self, rows: list[tuple[Any, ...]]) -> None:
        for row in rows:
            self._state[row[0], row[1]] = StateRow(*row)
            self._found.add((row[0], row[1]))

    def _take_messages(self, rows: list[tuple[Any, ...]]) -> None:
        for task, number, sender, consumed in rows:
            self._senders.add((task, sender))
            if not consumed:
                self._unread.setdefault(task, set()).add(number)

    def _take_numbers(self, rows: list[tuple[Any, ...]]) -> None:
        self._unused = [n for (n,) in reversed(rows)]

    def _take_time(self, rows: list[tuple[Any, ...]]) -> None:
        self.now_us = rows[0][0]

    # ---- what `judge` asks and writes ------------------------------------------------------------------------

    def task(self, id: Id) -> TaskHead | None:
        """Return a task's head."""
        return self._tasks.get(id)

    def dedupe_holder(self, tenant: str, dedupe: str) -> Id:
        """Return the task that holds a de-duplication key."""
        return self._dedupes.get((tenant, dedupe), b"")

    def state(self, namespace: str, key: str) -> StateRow | None:
        """Return a state row."""
        return self._state.get((namespace, key))

    def unread(self, task: TaskHead) -> Collection[int]:
        """Return the ids of messages that no entry has consumed; those of this batch have negative ones."""
        return self._unread.get(task.id, ())

    def put_segments(self, tenant: str, segments: Sequence[Segment]) -> None:
        """Keep segments."""
        for segment in segments:
            self._segments[tenant, segment.sha256] = (tenant, segment.sha256, *squeeze(segment.data))

    def put_state(self, row: StateRow) -> None:
        """Write a state row."""
        self._state[row.namespace, row.key] = row
        self._touched.add((row.namespace, row.key))

    def drop_state(self, namespace: str, key: str) -> None:
        """Delete a state row."""
        self._state.pop((namespace, key), None)
        self._touched.add((namespace, key))

    def create(self, new: NewTask) -> None:
        """Write a task's row and its first entries."""
        head = TaskHead(self._unused.pop(), new.id, State.QUEUED, b"", 0, len(new.entries))
        self._tasks[new.id] = head
        if new.dedupe:
            self._dedupes[new.tenant, new.dedupe] = new.id
        self._created.append(
            (
                head.n,
                new.id,
                head.last_seq,
                due_us(State.QUEUED, b"", new.not_before_us),
                new.not_before_us,
                new.tenant,
                new.session,
                new.agent,
                new.agent_version,
                new.goal[:GOAL_CHARS_SHOWN],
                new.queue,
                new.priority,
                new.parent,
                new.dedupe,
                new.concurrency_key,
                new.concurrency_limit,
            )
        )
        self._append_entries(head.n, new.entries)

    def append(self, task: TaskHead, entries: Sequence[Entry]) -> None:
        """Write entries and the row's `last_seq`."""
        self._appended[task.n] = task
        self._append_entries(task.n, entries)

    def _append_entries(self, n: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._entries.append(
                (n, entry.at_us, entry.seq, kind_code(entry.kind), phase_code(entry.phase), entry.branch, entry.body)
            )

    def consume(self, task: TaskHead, messages: Sequence[int]) -> None:
        """Mark messages of the task as consumed."""
        self._consumed.extend((message, task.n) for message in messages)
        self._unread.get(task.id, set()).difference_update(messages)

    def move(self, task: TaskHead, transition: Transition, due_us: int | None) -> None:
        """Write the new state."""
        before = self._moved.get(task.n)
        move = _Move(task, transition.reason, transition.not_before_us, due_us)
        move.incarnation = transition.incarnation
        move.agent_version = transition.agent_version
        if before is not None:
            move.incarnation = before.incarnation if move.incarnation is None else move.incarnation
            move.agent_version = before.agent_version if move.agent_version is None else move.agent_version
        self._moved[task.n] = move

    def send(self, task: TaskHead, message: Message) -> bool:
        """Write a message, unless its sender sent it before."""
        if (task.id, message.sender) in self._senders:
            return False
        self._senders.add((task.id, message.sender))
        self._unread.setdefault(task.id, set()).add(next(self._unnumbered))
        self._sent.append(
            (
                task.n,
                message.at_us or self.now_us,
                message.sender,
                message.kind,
                message.name,
                str(message.wakes),
                message.value,
            )
        )
        return True

    def wake(self, task: TaskHead) -> None:
        """Queue a task at once."""
        before = self._moved.get(task.n)
        move = _Move(task, WOKEN, 0, 0)
        if before is not None:
            move.incarnation, move.agent_version = before.incarnation, before.agent_version
        self._moved[task.n] = move

    # ---- writing -------------------------------------------------------------------------------------------

    def writes(self) -> list[Statement]:
        """Return the statements that write what changed, for the transaction that `read` began."""
        written: list[Statement] = []

        def run(sql: str, *params: Any) -> None:
            written.append((sql, params))

        self._write_tasks(run)
        if self._entries:
            run(
                "INSERT INTO entries (task, at_us, seq, kind, phase, branch, body)"
                " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[],"
                " %s::bytea[])",
                *_columns(self._entries),
            )
        if self._sent:
            run(
                "INSERT INTO inbox (task, at_us, sender, kind, name, wakes, value) SELECT * FROM unnest("
                "%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[])",
                *_columns(self._sent),
            )
        if self._consumed:
            run(
                "UPDATE inbox i SET consumed = true, value = ''"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS c (id, task) WHERE i.id = c.id AND i.task = c.task",
                *_columns(self._consumed),
            )
        if self._touched:
            self._write_state(run)
        if self._segments:
            run(_INSERT_SEGMENTS, self.now_us, *_columns(sorted(self._segments.values())))
        return written

    def _write_tasks(self, run: Callable[..., None]) -> None:
        if self._created:
            run(
                "INSERT INTO tasks (n, id, last_seq, due_us, not_before_us, tenant, session, agent, agent_version,"
                " goal,"
                " queue, priority, parent, dedupe, concurrency_key, concurrency_limit, epoch, updated_us, created_us,"
                " incarnation, begun, lease_id, node, state, reason)"
                " SELECT c.*, 0, %s::bigint, %s::bigint, 0, false, '', '', 'queued', '' FROM unnest("
                "%s::bigint[], %s::bytea[], %s::integer[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],"
                " %s::text[],"
                " %s::text[], %s::text[], %s::text[], %s::integer[], %s::bytea[], %s::text[], %s::text[], %s::integer[]"
                ") AS c",
                self.now_us,
                self.now_us,
                *_columns(self._created),
            )
        if self._appended:
            run(
                "UPDATE tasks t SET last_seq = a.last_seq, updated_us = %s"
                " FROM unnest(%s::bigint[], %s::integer[]) AS a (n, last_seq) WHERE t.n = a.n",
                self.now_us,
                [*self._appended],
                [task.last_seq for task in self._appended.values()],
            )
        if self._moved:
            moves = [
                (
                    n,
                    str(move.task.state),
                    move.reason,
                    move.not_before_us,
                    move.due_us,
                    move.task.lease_id,
                    move.incarnation,
                    move.agent_version,
                    move.task.state.ended,
                )
                for n, move in self._moved.items()
            ]
            run(
                "UPDATE tasks t SET state = m.state, reason = m.reason, not_before_us = m.not_before_us,"
                " due_us = m.due_us,"
                " lease_id = m.lease_id, incarnation = coalesce(m.incarnation, t.incarnation),"
                " agent_version = coalesce(m.agent_version, t.agent_version), begun = t.begun AND NOT m.ended,"
                " updated_us = %s FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],"
                " %s::bytea[], %s::integer[], %s::text[], %s::boolean[])"
                " AS m (n, state, reason, not_before_us, due_us, lease_id, incarnation, agent_version, ended)"
                " WHERE t.n = m.n",
                self.now_us,
                *_columns(moves),
            )

    def _write_state(self, run: Callable[..., None]) -> None:
        gone = sorted(key for key in self._touched if key not in self._state and key in self._found)
        new = [self._state[key] for key in sorted(self._touched) if key in self._state and key not in self._found]
        changed = [self._state[key] for key in sorted(self._touched) if key in self._state and key in self._found]
        if gone:
            run(
                "DELETE FROM state s USING unnest(%s::text[], %s::text[]) AS g (namespace, key)"
                " WHERE s.namespace = g.namespace AND s.key = g.key",
                *_columns(gone),
            )
        # A row that was not there is inserted plainly: if another node was quicker, the batch is judged again.
        for rows, sql in ((new, _INSERT_STATE), (changed, _UPDATE_STATE)):
            if rows:
                run(sql, *_columns([(row.namespace, row.key, row.version, row.value) for row in rows]))


async def write_segments(connection: Connection, rows: Sequence[tuple[Any, ...]], now_us: int) -> None:
    """Write segments of (tenant, sha256, codec, data), or note that they are wanted again."""
    await connection.execute(_INSERT_SEGMENTS.encode(), (now_us, *_columns(sorted(rows))))


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
