"""The node whose tasks are watched: `python -m benchmarks.watched_node FOLDER TASKS`, ordered by lines of JSON.

The real server of a real node on SQLite; the tasks lie in a queue that it does not take, and a second lease in the
same process appends to them, so that a commit is nothing but a commit.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

QUEUE = "watched"
LEASE_S = 3_600.0
PAUSE_S = 0.05
"""Between two commits whose events are timed: the events of one are through before the next."""


class WatchedNode:
    """The node, and the lease that appends."""

    def __init__(self, folder: Path, tasks: int) -> None:
        self.folder = folder
        self.tasks = tasks
        self.number = 0

    async def run(self) -> None:
        """Serve until `end` is read."""
        from comity.runtime.config import load_config
        from comity.runtime.node import Node
        from comity.server.assembly import server_of
        from comity.server.auth import Operators
        from comity.server.listening import listen
        from comity.stores.open import open_store

        settings = {"COMITY_HOME": str(self.folder), "COMITY_SERVER__PORT": "0", "COMITY_NODE__QUEUES": '["none"]'}
        config = load_config(settings)
        config.make_home()
        self.store = open_store(config.sections.store.url)
        await self.store.open()
        node = Node(config, self.store, {})
        self.node = node
        operators = Operators(self.store, node.clock, node.entropy)
        self.server = await server_of(node, listen(config.sections.server), operators)
        await node.start()
        await self.server.start()
        await self._make_tasks()
        self._say({"url": self.server.url, "token": operators.passing(), "tasks": [row.id.hex() for row in self.rows]})
        loop = asyncio.get_running_loop()
        while (order := json.loads(await loop.run_in_executor(None, sys.stdin.readline)))["do"] != "end":
            self._say(await getattr(self, order["do"])(**order.get("with", {})))
        await self.server.close()
        await node.close()
        await self.store.close()

    async def settings(self) -> dict[str, Any]:
        """Return what the figures depend on."""
        return {
            **(await self.store.settings()),  # type: ignore[attr-defined]
            "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
            "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        }

    async def measure(self) -> dict[str, Any]:
        """Return resident memory, time used, and what the feed counts."""
        gc.collect()
        feed = self.server.feed.statistics()
        return {"rss_kb": _resident_kb(), "cpu_s": time.process_time(), "watchers": feed.watchers, "reads": feed.reads}

    async def beat(self, count: int, shared: bool) -> list[tuple[str, float]]:
        """Append to one task after the other, or to the shared one; return each text with when it was durable."""
        from msgspec.structs import replace

        from comity.journal.call import Kind
        from comity.journal.entry import Progressed, entry
        from comity.journal.unit import TaskSubject, Unit

        done: list[tuple[str, float]] = []
        for _ in range(count):
            place = 0 if shared else 1 + self.number % (len(self.rows) - 1)
            self.number += 1
            row = self.rows[place]
            text = f"beat {self.number};"
            item = entry(row.last_seq + 1, "", Kind.TASK, self.node.clock.wall_us(), Progressed(text))
            subject = TaskSubject(row.id, row.lease_id, row.epoch, row.last_seq)
            await self.store.commit([Unit(subject, entries=(item,))])
            done.append((text, time.monotonic()))
            self.rows[place] = replace(row, last_seq=row.last_seq + 1)
            await asyncio.sleep(PAUSE_S)
        return done

    async def _make_tasks(self) -> None:
        from comity.core.ids import new_id
        from comity.journal.call import Kind
        from comity.journal.entry import Progressed, entry
        from comity.journal.task import NewTask
        from comity.journal.unit import OperatorSubject, Unit

        def new() -> NewTask:
            first = entry(1, "", Kind.TASK, self.node.clock.wall_us(), Progressed("first"))
            return NewTask(new_id(self.node.clock, self.node.entropy), "watched", queue=QUEUE, entries=(first,))

        await self.store.commit([Unit(OperatorSubject("bench"), spawns=(new(),)) for _ in range(self.tasks)])
        writer, lease = os.urandom(16), os.urandom(16)
        await self.store.register(writer, lease, LEASE_S, "bench", 0)
        self.rows = await self.store.take(writer, lease, [QUEUE], self.tasks)
        assert len(self.rows) == self.tasks

    def _say(self, answer: Any) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _resident_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(arguments: Sequence[str], run: Callable[[Any], None]) -> None:
    """Run a node on `run`'s loop."""
    from comity.runtime.hardening import allow_many_descriptors

    allow_many_descriptors()
    run(WatchedNode(Path(arguments[0]), int(arguments[1])).run())


if __name__ == "__main__":
    import uvloop

    main(sys.argv[1:], uvloop.run)
