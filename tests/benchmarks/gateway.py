"""What the gateway adds to a model call, beside the same call made directly in the same run, and how many it takes.

A call through the gateway is journaled twice, durably: its intent before the upstream is asked, its outcome before the
end of the answer is delivered. A direct call is journaled nowhere.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.peer import Unavailable

CALLS_FULL, CALLS_QUICK = 300, 40
WARM = 20
STRANDS = 32
LOAD_S_FULL, LOAD_S_QUICK = 10.0, 2.0
CONTEXT = "x" * 64_000
END_S = 10.0

Spread = tuple[float, float, float]
"""Median, 90th and 99th percentile, in milliseconds."""


@dataclass(frozen=True)
class GatewayFigures:
    """What a run showed. Each pair is (direct, through the gateway); `replay` is an answer from the journal.

    Attributes:
        settings: What the node reports of its store and loop.
        plain: A plain call of 64 KB, to the last byte.
        first: A streamed call of 64 KB, to the first byte of its body.
        replay: The same plain calls, asked by the next incarnation.
        calls_s: Governed calls a second, by concurrent strands with small requests.
        strands: How many of them.
    """

    settings: dict[str, Any]
    plain: tuple[Spread, Spread]
    first: tuple[Spread, Spread]
    replay: Spread
    calls_s: float
    strands: int

    def lines(self) -> Iterator[str]:
        """Return the figures as text."""
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        yield f"gateway: model calls through one node ({settings}); direct = the same upstream, journaled nowhere"
        for name, (direct, through) in (("plain, 64 KB", self.plain), ("first byte of a stream, 64 KB", self.first)):
            added = through[0] - direct[0]
            yield f"  {name}: direct {_said(direct)}, through {_said(through)}: {added:.2f} ms added at the median"
        yield f"  replay from the journal, 64 KB: {_said(self.replay)}"
        yield f"  governed calls: {self.calls_s:,.0f} a second by {self.strands} strands, client and upstream beside it"


def observe(folder: Path, *, is_quick: bool) -> GatewayFigures:
    """Measure.

    Raises:
        Unavailable: a process does not start here.
    """
    calls, load_s = (CALLS_QUICK, LOAD_S_QUICK) if is_quick else (CALLS_FULL, LOAD_S_FULL)
    folder = folder / "gateway"
    folder.mkdir()
    with ExitStack() as stack:
        upstream = stack.enter_context(_process("gateway_upstream")).said
        process = stack.enter_context(_process("gateway_node", str(folder), upstream["url"], str(2 + STRANDS)))
        node = process.said
        first, second, *rest = node["tokens"]
        direct, through = Caller(upstream["url"], "none"), Caller(node["url"], first)
        plain = _beside(direct, through, calls, is_stream=False)
        stream = _beside(direct, Caller(node["url"], second), calls, is_stream=True)
        again = Caller(node["url"], process.ask())
        replay = [again.call(f"call {number}", is_stream=False) for number in range(WARM + calls)]
        calls_s = asyncio.run(_load(node["url"], rest, load_s))
    return GatewayFigures(node["settings"], plain, stream, _spread(replay), calls_s, STRANDS)


class Caller:
    """One client on one connection."""

    def __init__(self, url: str, token: str) -> None:
        found = urlsplit(url)
        self._connection = HTTPConnection(str(found.hostname), found.port)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def call(self, name: str, *, is_stream: bool) -> float:
        """Return the milliseconds to the end of an answer, or to the first byte of a stream.

        Raises:
            Unavailable: it was refused.
        """
        message = {"role": "user", "content": f"{name} {CONTEXT}"}
        body = json.dumps({"model": "m", "messages": [message], "stream": is_stream}).encode()
        since_s = time.perf_counter()
        self._connection.request("POST", "/v1/chat/completions", body, self._headers)
        answer = self._connection.getresponse()
        answer.read(1)
        until_s = time.perf_counter()
        rest = answer.read()
        if answer.status != 200:
            raise Unavailable(f"a call was answered {answer.status}: {rest[:300]!r}")
        return ((until_s if is_stream else time.perf_counter()) - since_s) * 1_000


def _beside(direct: Caller, through: Caller, calls: int, *, is_stream: bool) -> tuple[Spread, Spread]:
    """Call both in turns, so that what disturbs one disturbs the other."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM + calls):
        for caller, seen in zip((direct, through), times, strict=True):
            seen.append(caller.call(f"call {number}", is_stream=is_stream))
    return _spread(times[0]), _spread(times[1])


async def _load(url: str, tokens: list[str], seconds: float) -> float:
    """Return how many calls a second the strands make together, each a task of its own."""
    until_s = time.perf_counter() + seconds
    since_s = time.perf_counter()
    counts = await asyncio.gather(*(_strand(url, token, until_s) for token in tokens))
    return sum(counts) / (time.perf_counter() - since_s)


async def _strand(url: str, token: str, until_s: float) -> int:
    found, count = urlsplit(url), 0
    reader, writer = await asyncio.open_connection(found.hostname, found.port)
    while time.perf_counter() < until_s:
        count += 1
        message = {"role": "user", "content": f"call {count}"}
        body = json.dumps({"model": "m", "messages": [message]}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {found.netloc}\r\nauthorization: Bearer {token}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer[:16]:
            raise Unavailable(f"a call was answered {answer[:300]!r}")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
    writer.close()
    return count


def _spread(values: list[float]) -> Spread:
    ordered = sorted(values[WARM:])
    return statistics.median(ordered), ordered[int(len(ordered) * 0.9)], ordered[int(len(ordered) * 0.99)]


def _said(spread: Spread) -> str:
    return f"{spread[0]:.2f} ms (p90 {spread[1]:.2f}, p99 {spread[2]:.2f})"


class Process:
    """A module of this folder as a process; `said` is its first line."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._module = module
        self.said = self._line()

    def ask(self) -> Any:
        """Write a line, and return the next one that it says."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def end(self) -> None:
        """End it: it has seconds to do so by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unavailable(f"`{self._module}` ended")
        return json.loads(line)


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[Process]:
    process = Process(module, *arguments)
    try:
        yield process
    finally:
        process.end()
