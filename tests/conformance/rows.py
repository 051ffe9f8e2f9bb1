"""The rows of the matrix: program, plain or streaming, fault, where the tools are; and a pairwise choice of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from conformance.programs import PROGRAMS, Program

SEED = 2
START_S = {
    "node": 0.2,
    "node-sdk": 0.4,
    "mcp": 1.0,
    "openai": 1.5,
    "openai-agents": 2.4,
    "langgraph": 2.7,
    "anthropic": 2.6,
}
"""About what a start of each library costs; of two rows that try as many new pairs, the cheaper one is chosen."""
START_S_MAX = 3.5


class Row(NamedTuple):
    """One run: a program meets a fault, with its tools in one of three places."""

    program: Program
    is_stream: bool
    fault: str
    tools: str

    @property
    def name(self) -> str:
        """Return the row's name in reports, which is its task's reference as well."""
        return "-".join([self.program.name, "sse" if self.is_stream else "plain", self.fault, self.tools])


TOOLS = ("http", "stdio", "file")
THOUGHT, BOOK, PAY = "thought", "book", "pay"
NODE_PLACES = ("before-intent", "intent-effect", "effect-outcome", "outcome-reply")
FAULTS = (
    "none",
    "twins",
    "twins-agent-after-effect",
    "upstream-503",
    "agent-before-reply",
    "agent-mid-stream",
    "agent-after-effect",
    "agent-after-outcome",
    *(f"node-{place}-{act}" for place in NODE_PLACES for act in (THOUGHT, BOOK, PAY)),
    "node-mid-stream-thought",
    "client-timeout-thought",
    "client-timeout-book",
    "client-last-byte-thought",
    "client-last-byte-book",
)
NEEDS_MODEL = (
    *("upstream-503", "agent-before-reply", "agent-mid-stream", "agent-after-outcome"),
    *("twins", "twins-agent-after-effect"),
)


def kind(fault: str) -> str:
    """Return whom a fault hits: nobody (`none`), `upstream`, `agent`, `node`, `client`; or that acts are `twins`."""
    return fault.split("-", maxsplit=1)[0]


def all_rows() -> Iterator[Row]:
    """Yield every row that means something; the places of the tools take turns."""
    for number, (program, is_stream, fault) in enumerate(itertools.product(PROGRAMS, (False, True), FAULTS)):
        if program.wire or not (is_stream or fault in NEEDS_MODEL or THOUGHT in fault):
            yield Row(program, is_stream, fault, TOOLS[number % len(TOOLS)])


def pairs(row: Row) -> set[tuple[str, str]]:
    """Return the pairs of values that a row tries together."""
    kept = {
        "library": row.program.library,
        "program": row.program.name,
        "wire": row.program.wire,
        "stream": f"stream {row.is_stream}",
        "fault": row.fault,
        "kind": kind(row.fault),
        "tools": row.tools,
    }
    which = [
        *(("library", "kind"), ("program", "stream"), ("library", "tools"), ("wire", "kind")),
        *(("fault", "stream"), ("kind", "tools"), ("stream", "tools")),
    ]
    return {(f"{a} {kept[a]}", f"{b} {kept[b]}") for a, b in which}


def pairwise(rows: Sequence[Row]) -> list[Row]:
    """Choose rows until every pair that occurs is in one of them, the same rows each time."""
    candidates = list(rows)
    random.Random(SEED).shuffle(candidates)
    missing = set().union(*(pairs(row) for row in candidates))
    chosen: list[Row] = []
    while missing:
        best = max(
            candidates, key=lambda row: (len(pairs(row) & missing), -START_S.get(row.program.library, START_S_MAX))
        )
        chosen.append(best)
        missing -= pairs(best)
    return sorted(chosen, key=lambda row: row.name)
