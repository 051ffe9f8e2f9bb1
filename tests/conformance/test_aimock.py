"""An upstream that others wrote (npm `@copilotkit/aimock`): every program, every wire format, no fault."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from conformance.lane import Lane, World
from conformance.play import Run
from conformance.programs import BY_NAME, PROGRAMS, Missing, folder_of, node
from conformance.rows import Row
from conformance.script import answer

AT_A_TIME = 3
THOUGHTS = 4


@pytest.fixture
def aimock() -> Iterator[str]:
    """Start it, and return where it serves."""
    try:
        file = folder_of("npm") / "aimock.mjs"
    except Missing as missing:
        pytest.skip(str(missing))
    with subprocess.Popen([node(), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


FEW = (("openai-chat", True), ("openai-responses", False), ("anthropic-messages", True), ("node-sdk-chat", False))
EVERY = tuple((program.name, is_stream) for program in PROGRAMS if program.wire for is_stream in (False, True))


@pytest.mark.parametrize("which", [FEW, pytest.param(EVERY, marks=pytest.mark.slow)], ids=["few", "every"])
async def test_programs_work_with_an_upstream_that_others_wrote(
    which: tuple[tuple[str, bool], ...], aimock: str, tmp_path: Path
) -> None:
    turn = asyncio.Semaphore(AT_A_TIME)

    async def work(lane: Lane, row: Row) -> Run:
        async with turn:
            run = Run(row, lane, await lane.create(row.tools, row.name))
            run.start()
            await run.follow()
            return run

    rows = [Row(BY_NAME[name], is_stream, "aimock", "file") for name, is_stream in which]
    with World(tmp_path, aimock) as world:
        async with Lane("lane", world) as lane, httpx2.AsyncClient() as http:
            runs = await asyncio.gather(*(work(lane, row) for row in rows))
            journal = (await http.get(f"{aimock}/__aimock/journal", params={"limit": 1_000})).json()
            told = Counter(run.ref for run in runs for entry in journal if f"{run.ref}." in str(entry["body"]))
            for run in runs:
                assert run.agent is not None
                assert run.agent.answer == answer(run.ref)
                assert world.acts(run.ref) == ["book", "pay"]
                assert told[run.ref] == THOUGHTS
