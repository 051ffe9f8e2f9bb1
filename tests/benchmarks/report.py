"""Prints what was seen, as tables: medians, spread, ratios. Nothing here judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.crash import Crash, summary
from benchmarks.machine import Fsync, Machine
from benchmarks.rounds import Series, Workload, reference_of

NONE = "–"
MIN_WIDTH = 110
"""A pipe says 80, which would cut the tables."""


class Report:
    """The console's side of a run."""

    def __init__(self) -> None:
        found = Console()
        self._console = Console(highlight=False, soft_wrap=True, width=max(found.width, MIN_WIDTH))

    def say(self, text: str) -> None:
        """Print one line of progress."""
        self._console.print(text, markup=False)

    def machine(self, facts: Machine) -> None:
        """Print what the numbers depend on."""
        self.say(
            f"machine: {facts.system}, {facts.cores} cores, Python {facts.python}, {facts.file_system}, "
            f"load {facts.load_average}"
        )
        if facts.warning:
            self.say(f"warning: {facts.warning}")

    def fsync(self, when: str, probe: Fsync) -> None:
        """Print what the disk itself costs."""
        self.say(
            f"disk {when}: 4 KB append + fdatasync median {probe.median_us:.0f} µs "
            f"({probe.min_us:.0f}–{probe.max_us:.0f})"
        )

    def settings(self, peer: str, probe: Mapping[str, Any]) -> None:
        """Print versions and durability settings as the running system reports them."""
        versions = ", ".join(f"{name} {version}" for name, version in probe["versions"].items())
        settings = ", ".join(f"{key}={value}" for key, value in probe["settings"].items())
        self.say(f"{peer}: {versions}; {settings}")

    def workload(self, workload: Workload, series: Sequence[Series]) -> None:
        """Print the table of one workload, and how many times as fast each system is as each other."""
        is_steps = workload.name == "W1"
        table = Table(title=f"{workload.name}: {workload.title}, median of {workload.rounds} (min–max)")
        table.add_column("system")
        for heading in ("µs/step" if is_steps else "tasks/s", "spread", "CPU", "× raw commit", "row bytes/step"):
            if is_steps or heading != "row bytes/step":
                table.add_column(heading, justify="right")
        measured = [one for one in series if one.samples]
        for one in measured:
            table.add_row(one.system, *_cells(one, series, is_steps=is_steps))
        self._console.print(table)
        for one in series:
            if one.reason:
                self.say(f"  {one.system}: {NONE} ({one.reason})")
        if len(measured) > 1:
            self._console.print(_matrix(workload, measured))

    def crashes(self, crashes: Mapping[str, Sequence[Crash]], reasons: Mapping[str, str]) -> None:
        """Print what became of the step in flight."""
        self.say("after kill -9 in the middle of a step:")
        for peer, seen in crashes.items():
            self.say(f"  {peer}: {summary(seen)}")
        for peer, reason in reasons.items():
            self.say(f"  {peer}: {NONE} ({reason})")


def _cells(one: Series, series: Sequence[Series], *, is_steps: bool) -> list[str]:
    values = one.operation_us if is_steps else one.rates
    middle = one.median_us if is_steps else 1e6 / one.median_us
    cpu = f"{one.cpu_us:,.0f} µs" if is_steps else f"{one.cpu_us / 1000:.2f} ms"
    reference = reference_of(one, series)
    times = f"{one.median_us / reference.median_us:.1f}" if reference else NONE
    cells = [f"{middle:,.0f}", f"{min(values):,.0f}–{max(values):,.0f}", cpu, times]
    if is_steps:
        cells.append(NONE if one.row_bytes is None else f"{one.row_bytes:,.0f}")
    return cells


def _matrix(workload: Workload, measured: Sequence[Series]) -> Table:
    table = Table(title=f"{workload.name}: the row is … times as fast as the column")
    table.add_column("")
    for number, _ in enumerate(measured, 1):
        table.add_column(f"({number})", justify="right")
    for number, row in enumerate(measured, 1):
        ratios = (column.median_us / row.median_us for column in measured)
        table.add_row(f"({number}) {row.system}", *(f"{ratio:.2f}" for ratio in ratios))
    return table


def as_json(workloads: Mapping[str, tuple[Workload, Sequence[Series]]]) -> dict[str, Any]:
    """Return all workloads for `--json`, ratios included."""
    return {
        name: {
            "title": workload.title,
            "arguments": dict(workload.arguments),
            "rounds": workload.rounds,
            "systems": [one.as_json() | {"times_raw": _times_raw(one, series)} for one in series],
        }
        for name, (workload, series) in workloads.items()
    }


def _times_raw(one: Series, series: Sequence[Series]) -> float | None:
    reference = reference_of(one, series)
    return one.median_us / reference.median_us if reference and one.samples else None
