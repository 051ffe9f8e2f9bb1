"""Starts measurements, each in a process and on a site of its own, and plays rounds of them interleaved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from shutil import rmtree
from typing import Any, Self

from benchmarks.peer import Peer, Sample, Site, Unavailable
from benchmarks.servers import Postgres, Server

LIMIT_S = 300.0
"""After this, a measurement is given up; nothing is concluded from it."""


@dataclass(frozen=True)
class Order:
    """What a host process is to do; `tally`, `hold` and `variant` belong to the crash scenario."""

    peer: str
    job: str
    arguments: Mapping[str, int] = field(default_factory=dict)
    tally: str = ""
    hold: int = -1
    variant: str = ""


@dataclass
class Stage:
    """A prepared site with the servers that work for it."""

    site: Site
    server: Server | None
    postgres: Postgres | None

    def restart_server(self) -> None:
        """Kill the peer's own server and start it again; its processes are others from now on."""
        assert self.server is not None
        self.server.kill_and_restart()
        pids = (*(self.postgres.pids() if self.postgres else ()), *self.server.pids())
        self.site = replace(self.site, server_pids=pids)


class Host:
    """A running host process."""

    def __init__(self, order: Order, stage: Stage) -> None:
        folder = stage.site.folder.parent
        request = folder / f"{order.job}-request.json"
        self._result = folder / f"{order.job}-result.json"
        self._log = folder / f"{order.job}.log"
        request.write_text(json.dumps(asdict(order) | {"site": _as_json(stage.site)}))
        with self._log.open("wb") as output:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.host", str(request), str(self._result)]
            self.process = subprocess.Popen(
                command, env=_environment(), stdout=output, stderr=output, start_new_session=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()

    def answer(self, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """Wait for the result; raise `Unavailable` with the reason when there is none."""
        try:
            self.process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"no result within {limit_s:.0f} s") from error
        if not self._result.exists():
            raise Unavailable(f"ended with status {self.process.returncode}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(self._result.read_text())
        if "reason" in answer:
            raise Unavailable(answer["reason"])
        return answer

    def has_ended(self, within_s: float) -> bool:
        """Wait for the process and return whether it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=within_s)
        return self.process.poll() is not None

    def kill(self) -> None:
        """End it and what it started with SIGKILL: the session is its own, so the group is nobody else's."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _last_words(self) -> str:
        words = self._log.read_text(errors="replace").strip().splitlines()
        return words[-1][:200] if words else "it said nothing"


class Runner:
    """Owns the run's folder and its PostgreSQL, which starts when the first peer asks for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._postgres: Postgres | None = None
        self._postgres_reason = ""
        self._count = 0

    def close(self) -> None:
        """End the servers."""
        if self._postgres is not None:
            self._postgres.stop()

    @contextmanager
    def stage(self, peer: type[Peer]) -> Iterator[Stage]:
        """Prepare an empty site for one measurement, with servers, and clear it away afterwards."""
        self._count += 1
        folder = self._folder / f"{self._count:04}-{peer.name}"
        (folder / "site").mkdir(parents=True)
        postgres = self._shared_postgres() if peer.store == "postgres" else None
        url = postgres.new_database() if postgres else ""
        server: Server | None = None
        try:
            server = peer.start_server(folder / "server")
            pids = (*(postgres.pids() if postgres else ()), *(server.pids() if server else ()))
            site = Site(folder / "site", url, server.contact if server else {}, pids)
            yield Stage(site, server, postgres)
        finally:
            if server is not None:
                server.stop()
            if postgres is not None:
                postgres.drop_database(url)
            rmtree(folder, ignore_errors=True)

    def probe(self, peer: type[Peer]) -> dict[str, Any]:
        """Return settings and versions, or raise `Unavailable`."""
        with self.stage(peer) as stage, Host(Order(peer.name, "probe"), stage) as host:
            return host.answer(limit_s=60)

    def measure(self, peer: type[Peer], workload: str, arguments: Mapping[str, int]) -> Sample:
        """Do one workload once."""
        with self.stage(peer) as stage, Host(Order(peer.name, workload, arguments), stage) as host:
            return Sample(**host.answer())

    def _shared_postgres(self) -> Postgres:
        if self._postgres_reason:
            raise Unavailable(self._postgres_reason)
        if self._postgres is None:
            try:
                self._postgres = Postgres(self._folder)
            except (Unavailable, OSError, subprocess.SubprocessError) as error:
                self._postgres_reason = f"PostgreSQL does not start here: {error}".splitlines()[0]
                raise Unavailable(self._postgres_reason) from error
        return self._postgres


def _environment() -> dict[str, str]:
    """Return this process's environment, with the folder of this package on the module path."""
    here = str(Path(__file__).resolve().parent.parent)
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "LANGSMITH_TRACING": "false", "DO_NOT_TRACK": "1"}


def _as_json(site: Site) -> dict[str, Any]:
    return asdict(site) | {"folder": str(site.folder), "server": dict(site.server)}
