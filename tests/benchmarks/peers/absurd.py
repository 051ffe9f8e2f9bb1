"""Absurd on PostgreSQL: PyPI `absurd-sdk`, and the schema that PyPI `absurdctl` carries.

The schema is laid by `absurdctl init`, which calls `psql`; that comes with the embedded server. Many tasks run
on four workers of one process, each with a connection of its own (its threads share one otherwise), which
start once all tasks are queued: with workers polling meanwhile, the whole took longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

from benchmarks.peer import Peer, Sample, Unavailable
from benchmarks.servers import postgres_programs
from benchmarks.stores import postgres_row_bytes, postgres_settings

WORKERS = 4
BATCH = 25
POLL_S = 0.01
QUEUE = "bench"
CRASH_LEASE_S = 2


class AbsurdPostgres(Peer):
    """Absurd's synchronous SDK."""

    name = "absurd-postgres"
    store = "postgres"
    distributions = ("absurd-sdk", "absurdctl")

    def open(self) -> None:
        from absurd_sdk import Absurd

        self.left = 0
        self.lock = threading.Lock()
        self.none_left = threading.Event()
        if not self._has_schema():
            self._lay_schema()
        self.client = Absurd(self.site.postgres_url, queue_name=QUEUE)
        self.client.create_queue(QUEUE)
        self._register(self.client)

    def close(self) -> None:
        self.client.close()

    def settings(self) -> dict[str, str]:
        return postgres_settings(self.site.postgres_url)

    def w1(self, steps: int) -> Sample:
        self._work_alone("task", 20)
        before = postgres_row_bytes(self.site.postgres_url)
        with self.meter() as lap:
            self._work_alone("task", steps)
        return lap.sample(steps, postgres_row_bytes(self.site.postgres_url) - before)

    def w2(self, tasks: int, steps: int) -> Sample:
        return self._through_workers(tasks, "task", steps)

    def w3(self, tasks: int) -> Sample:
        return self._through_workers(tasks, "noop", 0)

    def begin(self, steps: int) -> None:
        self.client.spawn("striking", {"steps": steps})
        self.client.work_batch(claim_timeout=CRASH_LEASE_S)

    def resume(self, steps: int) -> str:
        """Work on until the lease of the dead worker has run out and its task has been taken and done."""
        self.left = 1
        worker = threading.Thread(
            target=self.client.start_worker, kwargs={"claim_timeout": CRASH_LEASE_S, "poll_interval": POLL_S}
        )
        worker.start()
        self.none_left.wait()
        self.client.stop_worker()
        worker.join()
        return ""

    def _has_schema(self) -> bool:
        import psycopg

        with psycopg.connect(self.site.postgres_url) as connection:
            row = connection.execute("SELECT to_regclass('absurd.queues') IS NOT NULL").fetchone()
            return bool(row and row[0])

    def _lay_schema(self) -> None:
        import absurdctl

        environment = os.environ | {"PATH": f"{postgres_programs()}{os.pathsep}{os.environ.get('PATH', '')}"}
        command = [sys.executable, "-c", "import absurdctl; absurdctl.main()", "init", "-d", self.site.postgres_url]
        laid = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if laid.returncode:
            raise Unavailable(
                f"`absurdctl init` ({absurdctl.__name__}) failed: {(laid.stderr or laid.stdout).strip()[-200:]}"
            )

    def _register(self, client: Any) -> None:
        @client.register_task(name="task")
        def task(params: dict[str, int], context: Any) -> int:
            for number in range(params["steps"]):
                context.step(f"step-{number}", lambda number=number: number)
            return self._ended()

        @client.register_task(name="noop")
        def noop(params: dict[str, int], context: Any) -> int:
            return self._ended()

        @client.register_task(name="striking")
        def striking(params: dict[str, int], context: Any) -> int:
            for number in range(params["steps"]):
                context.step(f"step-{number}", lambda number=number: self.strike(number))
            return self._ended()

    def _ended(self) -> int:
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self.none_left.set()
        return 0

    def _work_alone(self, name: str, steps: int) -> None:
        self.client.spawn(name, {"steps": steps})
        self.client.work_batch()

    def _through_workers(self, tasks: int, name: str, steps: int) -> Sample:
        from absurd_sdk import Absurd

        self._work_alone(name, steps)
        clients = [Absurd(self.site.postgres_url, queue_name=QUEUE) for _ in range(WORKERS)]
        for client in clients:
            self._register(client)
        options = {"batch_size": BATCH, "poll_interval": POLL_S}
        workers = [threading.Thread(target=client.start_worker, kwargs=options) for client in clients]
        self.left = tasks
        self.none_left.clear()
        with self.meter() as lap:
            for _ in range(tasks):
                self.client.spawn(name, {"steps": steps})
            for worker in workers:
                worker.start()
            self.none_left.wait()
            for client in clients:
                client.stop_worker()
            for worker in workers:
                worker.join()
        for client in clients:
            client.close()
        return lap.sample(tasks)
