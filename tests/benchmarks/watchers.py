"""Idle watchers of one node: what each costs in memory, and how soon an event reaches one of ten thousand.

Half of them watch a task of their own, half the same one. The clients are in another process on the same machine, so
latencies hold its time too.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peer import Unavailable

WATCHERS_FULL, WATCHERS_QUICK = 10_000, 1_000
WARM = 200
IDLE_S = 20.0
SPARE_DESCRIPTORS = 200
BEATS = 200
SHARED_BEATS = 20
ARRIVAL_LIMIT_S = 30.0


@dataclass(frozen=True)
class Watchers:
    """What a run showed; times in milliseconds, from the durable commit to the client.

    Attributes:
        watchers: Connections that stood.
        settings: What the node reports of itself.
        bytes_each: Resident memory of the node that each connection added.
        connected_s: How long it took to open them all.
        idle_cpu: Part of one core that the node used while nothing happened, before and with them.
        own_ms: Median, 99th percentile and maximum for a task with one watcher.
        shared_ms: The same, to the first and to the last of those who watch one task.
    """

    watchers: int
    settings: dict[str, Any]
    bytes_each: float
    connected_s: float
    idle_cpu: tuple[float, float]
    own_ms: tuple[float, float, float]
    first_ms: tuple[float, float, float]
    last_ms: tuple[float, float, float]

    def lines(self) -> Iterator[str]:
        """Return the figures as text."""
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        yield f"watchers: {self.watchers:,} event streams on one node ({settings})"
        yield f"  memory of the node: {self.bytes_each / 1024:.1f} KB each; opened in {self.connected_s:.1f} s"
        before, during = self.idle_cpu
        yield f"  idle: {during:.1%} of a core with them, {before:.1%} without"
        yield f"  commit to its one watcher: {_spread(self.own_ms)}"
        half = self.watchers - self.watchers // 2
        yield f"  commit to {half:,} watchers of one task: first {_spread(self.first_ms)}, last {_spread(self.last_ms)}"


def observe(folder: Path, *, is_quick: bool) -> Watchers:
    """Open watchers, leave them idle, then commit.

    Raises:
        Unavailable: the processes do not start here, or an event did not arrive.
    """
    wanted = WATCHERS_QUICK if is_quick else WATCHERS_FULL
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    watchers = wanted if most == resource.RLIM_INFINITY else min(wanted, most - SPARE_DESCRIPTORS)
    own = watchers // 2
    folder = folder / "watched"
    folder.mkdir()
    with _process("watched_node", str(folder), str(own + 1)) as node, _process("watching_clients") as clients:
        ready = node.answer()
        shared, *tasks = ready["tasks"]
        access = {"url": ready["url"], "token": ready["token"]}
        settings = node.ask("settings")
        with _process("watching_clients") as warm:
            warm.ask("connect", **access, tasks=tasks[:WARM])
        before = _idle(node)
        opened = clients.ask("connect", **access, tasks=[*tasks, *[shared] * (watchers - own)])
        time.sleep(2.0)
        during = _idle(node)
        if opened["alive"] != watchers or during["watchers"] != watchers:
            raise Unavailable(f"of {watchers} watchers {opened['alive']} were served, and {during['watchers']} stayed")
        own_ms, _ = _latencies(node, clients, BEATS, 1)
        first_ms, last_ms = _latencies(node, clients, SHARED_BEATS, watchers - own)
        node.say("end")
    return Watchers(
        watchers,
        settings,
        (during["rss_kb"] - before["rss_kb"]) * 1024 / watchers,
        opened["seconds"],
        (before["cpu"], during["cpu"]),
        own_ms,
        first_ms,
        last_ms,
    )


def _idle(node: Process) -> dict[str, Any]:
    began: dict[str, Any] = node.ask("measure")
    time.sleep(IDLE_S)
    ended: dict[str, Any] = node.ask("measure")
    return ended | {"cpu": (ended["cpu_s"] - began["cpu_s"]) / IDLE_S}


def _latencies(
    node: Process, clients: Process, count: int, watchers: int
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the spread of milliseconds to the first and to the last watcher."""
    clients.ask("told")
    committed = dict(node.ask("beat", count=count, shared=watchers > 1))
    times: dict[str, Any] = {}
    limit_s = time.monotonic() + ARRIVAL_LIMIT_S
    counts: dict[str, int] = {}
    while any(counts.get(text, 0) < watchers for text in committed):
        if time.monotonic() > limit_s:
            raise Unavailable("events did not arrive")
        time.sleep(0.2)
        for text, (first_s, last_s, number) in clients.ask("told")["times"].items():
            seen_first_s, seen_last_s = times.get(text, (first_s, last_s))
            times[text] = min(seen_first_s, first_s), max(seen_last_s, last_s)
            counts[text] = counts.get(text, 0) + number
    first = [(times[text][0] - done_s) * 1_000 for text, done_s in committed.items()]
    last = [(times[text][1] - done_s) * 1_000 for text, done_s in committed.items()]
    return _percentiles(first), _percentiles(last)


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)], ordered[-1]


def _spread(values: tuple[float, float, float]) -> str:
    middle, high, most = values
    return f"median {middle:.1f} ms (p99 {high:.1f}, max {most:.1f})"


class Process:
    """A process that answers orders, one line of JSON each."""

    def __init__(self, module: str, *arguments: str) -> None:
        here = str(Path(__file__).resolve().parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *arguments],
            env=os.environ | {"PYTHONPATH": here},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, order: str, /, **given: Any) -> Any:
        """Give an order and return the answer."""
        self.say(order, **given)
        return self.answer()

    def say(self, order: str, /, **given: Any) -> None:
        """Give an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": order, "with": given}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Return the next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unavailable(f"`{self._process.args[4]}` ended")  # type: ignore[index]
        return json.loads(line)

    def end(self) -> None:
        """End it: it has seconds to do so by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[Process]:
    process = Process(module, *arguments)
    try:
        yield process
    finally:
        process.end()
