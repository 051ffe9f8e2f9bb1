"""Interleaved repeats: round by round every system once, so that a slow minute hits them all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.machine import load_average
from benchmarks.peer import Peer, Sample, Unavailable
from benchmarks.runner import Runner


@dataclass(frozen=True)
class Workload:
    """One kind of work, with its size and number of rounds."""

    name: str
    title: str
    arguments: Mapping[str, int]
    rounds: int


@dataclass
class Series:
    """The samples of one system in one workload, or the reason why there are none."""

    system: str
    store: str
    is_reference: bool
    samples: list[Sample] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    reason: str = ""

    @property
    def operation_us(self) -> list[float]:
        """Microseconds an operation, one number a round."""
        return [sample.seconds / sample.operations * 1e6 for sample in self.samples]

    @property
    def rates(self) -> list[float]:
        """Operations a second, one number a round."""
        return [sample.operations / sample.seconds for sample in self.samples]

    @property
    def cpu_us(self) -> float:
        """Median CPU microseconds an operation, servers included."""
        return statistics.median(sample.cpu_seconds / sample.operations * 1e6 for sample in self.samples)

    @property
    def median_us(self) -> float:
        """Median microseconds an operation: what every ratio is made of."""
        return statistics.median(self.operation_us)

    @property
    def row_bytes(self) -> float | None:
        """Median growth of stored rows an operation, where it is known."""
        known = [s.row_bytes / s.operations for s in self.samples if s.row_bytes is not None]
        return statistics.median(known) if known else None

    def as_json(self) -> dict[str, Any]:
        """Return samples and medians for `--json`."""
        answer: dict[str, Any] = {"system": self.system, "store": self.store, "reason": self.reason}
        if self.samples:
            answer |= {
                "median_us": self.median_us,
                "median_per_s": 1e6 / self.median_us,
                "cpu_us": self.cpu_us,
                "row_bytes": self.row_bytes,
                "samples": [asdict(sample) for sample in self.samples],
                "load_average": self.loads,
            }
        return answer


def play(runner: Runner, workload: Workload, systems: Sequence[type[Peer]], say: Callable[[str], None]) -> list[Series]:
    """Play all rounds of a workload; a system that fails is left out from then on, with its reason."""
    series = {
        peer: Series(peer.name, peer.store, peer.is_reference, reason=peer.lacks.get(workload.name, ""))
        for peer in systems
    }
    for turn in range(workload.rounds):
        # Each round starts with another system: nobody is always first after the pause between rounds.
        shift = turn % len(systems)
        for peer in (*systems[shift:], *systems[:shift]):
            own = series[peer]
            if own.reason:
                continue
            load = load_average()
            try:
                own.samples.append(runner.measure(peer, workload.name, workload.arguments))
                own.loads.append(load)
            except Unavailable as error:
                own.reason = str(error)
                say(f"{workload.name}: {peer.name} is left out: {error}")
        say(f"{workload.name}: round {turn + 1} of {workload.rounds}")
    return list(series.values())


def reference_of(series: Series, others: Sequence[Series]) -> Series | None:
    """Return the bare commit of the same store, if it was measured."""
    found = (other for other in others if other.is_reference and other.store == series.store and other.samples)
    return next(found, None)
