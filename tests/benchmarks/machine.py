"""What the numbers depend on besides the systems: cores, load, the disk under test and its fsync."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
PROBES = 100


@dataclass(frozen=True)
class Fsync:
    """The time of one appended 4 KB block and its `fdatasync`, in microseconds."""

    median_us: float
    min_us: float
    max_us: float


@dataclass(frozen=True)
class Machine:
    """The facts that a result is only valid with."""

    system: str
    python: str
    cores: int
    file_system: str
    load_average: float

    @property
    def warning(self) -> str:
        """A sentence when the disk makes durability free, else ""."""
        if self.file_system in MEMORY_FILE_SYSTEMS:
            return f"the folder is on {self.file_system}, where fsync costs nothing: name a disk with --dir"
        return ""

    def as_json(self) -> dict[str, Any]:
        """Return the facts for `--json`."""
        return asdict(self)


def machine_facts(folder: Path) -> Machine:
    """Return the facts of this machine and of the disk that `folder` is on."""
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        file_system=_file_system(folder),
        load_average=load_average(),
    )


def load_average() -> float:
    """Return the load of the last minute, which includes everybody else on the machine."""
    return round(os.getloadavg()[0], 2)


def probe_fsync(folder: Path) -> Fsync:
    """Measure the disk itself."""
    path = folder / "fsync-probe"
    times = []
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)
    try:
        for _ in range(PROBES):
            start = time.perf_counter()
            os.write(descriptor, b"x" * 4096)
            sync(descriptor)
            times.append((time.perf_counter() - start) * 1e6)
    finally:
        os.close(descriptor)
        path.unlink()
    return Fsync(statistics.median(times), min(times), max(times))


def _file_system(folder: Path) -> str:
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return "unknown"
    best, kind = "", "unknown"
    for line in mounts.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4]
        if folder.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind
