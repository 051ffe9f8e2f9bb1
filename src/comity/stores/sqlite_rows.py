"""The rows that a batch of units sees and changes, in SQLite: each is read when it is needed and written at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import apsw

from comity.core.codec import Digest
from comity.core.ids import Id
from comity.journal.entry import Entry
from comity.journal.segment import Segment
from comity.journal.task import NewTask, State
from comity.journal.unit import Message, StateRow, Transition
from comity.stores.codes import kind_code, phase_code
from comity.stores.decode import squeeze
from comity.stores.judge import TaskHead, due_us
from comity.stores.units import GOAL_CHARS_SHOWN, WOKEN

_STATES = {state.value: state for state in State}


class SqliteRows:
    """The rows of one batch, inside its transaction."""

    def __init__(self, db: apsw.Connection, now_us: int) -> None:
        """Work on `db` at the store's time `now_us`."""
        self._run = db.execute
        self._db = db
        self._now_us = now_us

    def task(self, id: Id) -> TaskHead | None:
        """Return a task's head."""
        for n, state, lease_id, epoch, last_seq in self._run(
            "SELECT n, state, lease_id, epoch, last_seq FROM tasks WHERE id = ?", (id,)
        ):
            return TaskHead(n, id, _STATES[state], lease_id, epoch, last_seq)
        return None

    def dedupe_holder(self, tenant: str, dedupe: str) -> Id:
        """Return the task that holds a de-duplication key."""
        row = self._run(
            "SELECT id FROM tasks WHERE tenant = ? AND dedupe = ? AND dedupe <> ''", (tenant, dedupe)
        ).fetchone()
        return bytes(row[0]) if row else b""

    def state(self, namespace: str, key: str) -> StateRow | None:
        """Return a state row."""
        for version, value in self._run(
            "SELECT version, value FROM state WHERE namespace = ? AND key = ?", (namespace, key)
        ):
            return StateRow(namespace, key, version, value)
        return None

    def unread(self, task: TaskHead) -> Collection[int]:
        """Return the ids of messages that no entry has consumed."""
        return [row[0] for row in self._run("SELECT id FROM inbox WHERE task = ? AND consumed = 0", (task.n,))]

    def put_segments(self, tenant: str, segments: Sequence[Segment]) -> None:
        """Keep segments; one that is there becomes young again, so that collection leaves it."""
        for segment in segments:
            put_segment(self._db, tenant, segment.sha256, squeeze(segment.data), self._now_us)

    def put_state(self, row: StateRow) -> None:
        """Write a state row."""
        self._run(
            "INSERT OR REPLACE INTO state (namespace, key, version, value) VALUES (?, ?, ?, ?)",
            (row.namespace, row.key, row.version, row.value),
        )

    def drop_state(self, namespace: str, key: str) -> None:
        """Delete a state row."""
        self._run("DELETE FROM state WHERE namespace = ? AND key = ?", (namespace, key))

    def create(self, new: NewTask) -> None:
        """Write a task's row and its first entries."""
        self._run(
            "INSERT INTO tasks (id, last_seq, updated_us, epoch, lease_id, state, due_us, begun, tenant, session,"
            " agent, agent_version, goal, reason, queue, priority, not_before_us, node, incarnation, parent, dedupe,"
            " concurrency_key, concurrency_limit, created_us)"
            " VALUES (?, ?, ?, 0, x'', 'queued', ?, 0, ?, ?, ?, ?, ?, '', ?, ?, ?, x'', 0, ?, ?, ?, ?, ?)",
            (
                new.id,
                len(new.entries),
                self._now_us,
                due_us(State.QUEUED, b"", new.not_before_us),
                new.tenant,
                new.session,
                new.agent,
                new.agent_version,
                new.goal[:GOAL_CHARS_SHOWN],
                new.queue,
                new.priority,
                new.not_before_us,
                new.parent,
                new.dedupe,
                new.concurrency_key,
                new.concurrency_limit,
                self._now_us,
            ),
        )
        self._insert_entries(self._db.last_insert_rowid(), new.entries)

    def append(self, task: TaskHead, entries: Sequence[Entry]) -> None:
        """Write entries and the row's `last_seq`."""
        self._run(
            "UPDATE tasks SET last_seq = ?, updated_us = ? WHERE n = ?",
            (task.last_seq + len(entries), self._now_us, task.n),
        )
        self._insert_entries(task.n, entries)

    def _insert_entries(self, n: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._run(
                "INSERT INTO entries (task, seq, kind, phase, branch, at_us, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (n, entry.seq, kind_code(entry.kind), phase_code(entry.phase), entry.branch, entry.at_us, entry.body),
            )

    def consume(self, task: TaskHead, messages: Sequence[int]) -> None:
        """Mark messages as consumed; their value stands in the journal from now on."""
        for message in messages:
            self._run("UPDATE inbox SET consumed = 1, value = x'' WHERE id = ? AND task = ?", (message, task.n))

    def move(self, task: TaskHead, transition: Transition, due_us: int | None) -> None:
        """Write the new state."""
        self._run(
            "UPDATE tasks SET state = ?, reason = ?, not_before_us = ?, lease_id = ?, due_us = ?, updated_us = ?,"
            " incarnation = coalesce(?, incarnation), agent_version = coalesce(?, agent_version), begun = begun AND ?"
            " WHERE n = ?",
            (
                transition.state.value,
                transition.reason,
                transition.not_before_us,
                task.lease_id,
                due_us,
                self._now_us,
                transition.incarnation,
                transition.agent_version,
                not transition.state.ended,
                task.n,
            ),
        )

    def send(self, task: TaskHead, message: Message) -> bool:
        """Write a message, unless its sender sent it before."""
        self._run(
            "INSERT OR IGNORE INTO inbox (task, sender, kind, name, value, wakes, at_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                task.n,
                message.sender,
                message.kind,
                message.name,
                message.value,
                str(message.wakes),
                message.at_us or self._now_us,
            ),
        )
        return self._db.changes() == 1

    def wake(self, task: TaskHead) -> None:
        """Queue a task at once."""
        self._run(
            "UPDATE tasks SET state = 'queued', reason = ?, not_before_us = 0, due_us = 0, updated_us = ? WHERE n = ?",
            (WOKEN, self._now_us, task.n),
        )


def put_segment(db: apsw.Connection, tenant: str, sha256: Digest, squeezed: tuple[int, bytes], now_us: int) -> None:
    """Write one segment, or note that it is wanted again."""
    codec, data = squeezed
    db.execute(
        "INSERT INTO segments (tenant, sha256, codec, at_us, data) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, sha256) DO UPDATE SET at_us = max(at_us, excluded.at_us)",
        (tenant, sha256, codec, now_us, data),
    )
