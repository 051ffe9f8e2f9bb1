"""The contract that every measured system implements.

A peer lives in a process of its own (`host.py`), started anew for each measurement, so that no system's idle
threads disturb another's numbers. It gets a `Site` (an empty folder, a fresh database), is opened, does one
workload, and is closed. Only what happens inside `meter()` is measured.
"""

from __future__ import annotations

import resource
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

if TYPE_CHECKING:
    from benchmarks.servers import Server

Store = Literal["sqlite", "postgres", "own"]
Strike = Callable[[int], int]
"""What a step of the crash scenario calls with its number: it has an effect that the tally counts."""


class Unavailable(Exception):
    """A system that cannot run here; its message is the one-line reason that is printed."""


@dataclass(frozen=True)
class Site:
    """Where one measurement takes place.

    Attributes:
        folder: An empty folder on the disk under test.
        postgres_url: A fresh database, or "" when the peer's store is not PostgreSQL.
        server: What `Server.contact` of the peer's own server said (ports, addresses).
        server_pids: Root processes of all servers that work for the peer; their trees count as its CPU.
    """

    folder: Path
    postgres_url: str = ""
    server: Mapping[str, str] = field(default_factory=dict)
    server_pids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One measurement.

    Attributes:
        seconds: Wall time from the first order to the last durable end.
        operations: Steps for W1, tasks for W2 and W3.
        cpu_seconds: CPU of the peer's process, its children and its servers in that time.
        row_bytes: Growth of the stored rows (no indexes, no page slack), or None where it is not known.
    """

    seconds: float
    operations: int
    cpu_seconds: float
    row_bytes: int | None = None


class Meter:
    """A stopwatch for wall time and CPU: `with peer.meter() as lap: ...`, then `lap.sample(n)`."""

    def __init__(self, server_pids: tuple[int, ...]) -> None:
        self._server_pids = server_pids
        self._wall = 0.0
        self._cpu = 0.0

    def __enter__(self) -> Self:
        self._cpu = self._cpu_now()
        self._wall = time.perf_counter()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._wall = time.perf_counter() - self._wall
        self._cpu = self._cpu_now() - self._cpu

    def sample(self, operations: int, row_bytes: int | None = None) -> Sample:
        """Return what was measured, for `operations` steps or tasks."""
        return Sample(self._wall, operations, self._cpu, row_bytes)

    def _cpu_now(self) -> float:
        own = resource.getrusage(resource.RUSAGE_SELF)
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = own.ru_utime + own.ru_stime + waited.ru_utime + waited.ru_stime
        return total + _live_children_cpu() + sum(tree_cpu(pid) for pid in self._server_pids)


def tree_cpu(root_pid: int) -> float:
    """Return the CPU seconds of a process, its live descendants, and those that it has waited for."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(root_pid)
        return sum(_cpu_with_waited(process) for process in [root, *root.children(recursive=True)])
    return 0.0


def _live_children_cpu() -> float:
    import psutil

    return sum(_cpu_with_waited(child) for child in psutil.Process().children(recursive=True))


def _cpu_with_waited(process: object) -> float:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    waited = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + waited)


class Peer(ABC):
    """One system under measurement; see `README.md` for how to add one.

    Third-party packages are imported in `open()`, never at module level: a missing one then costs one line of
    the report and not the run. `open()` also warms up (connections, prepared statements, a small task).
    """

    name: ClassVar[str]
    """As printed, unique, lower case with hyphens."""
    store: ClassVar[Store]
    distributions: ClassVar[tuple[str, ...]] = ()
    """PyPI names whose installed versions are printed."""
    is_reference: ClassVar[bool] = False
    """True for a bare commit of the store: others of this store are given as multiples of it."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """Workloads (`W1` .. `W3`, `crash`) that the system has no notion of, each with the reason."""

    def __init__(self, site: Site, strike: Strike = int) -> None:
        """Remember the site, and what a step of the crash scenario calls with its number."""
        self.site = site
        self.strike = strike

    @classmethod
    def start_server(cls, folder: Path) -> Server | None:
        """Start what the peer needs beside its own process and PostgreSQL; None when there is nothing."""
        return None

    def meter(self) -> Meter:
        """Return a stopwatch that counts this process, its children and the site's servers."""
        return Meter(self.site.server_pids)

    @abstractmethod
    def open(self) -> None:
        """Connect, create what is needed, warm up. Raise `Unavailable` with a one-line reason."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything that `open` took."""

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """Return what decides about durability, read back from the running system, never assumed."""

    @abstractmethod
    def w1(self, steps: int) -> Sample:
        """Run one task of `steps` trivial steps, one after another; each is durable before the next starts."""

    @abstractmethod
    def w2(self, tasks: int, steps: int) -> Sample:
        """Start `tasks` tasks of `steps` trivial steps at once; measured until the last has durably ended."""

    @abstractmethod
    def w3(self, tasks: int) -> Sample:
        """Take `tasks` tasks that do nothing from enqueue over lease to done, on this one node."""

    def begin(self, steps: int) -> None:
        """Run one task of `steps` steps, each of which calls `self.strike(number)`; the process dies meanwhile."""
        raise NotImplementedError

    def resume(self, steps: int) -> str:
        """Let a new process recover the task of `begin` and return once it has ended or is parked.

        Returns:
            What the system itself says about the step that was in flight, for example `in doubt`; "" when it
            says nothing.
        """
        raise NotImplementedError


def stringified(facts: Mapping[str, object]) -> dict[str, str]:
    """Return settings as text, ready for the report."""
    return {key: str(value) for key, value in facts.items()}
