"""The matrix: other people's clients × wire formats × plain and streaming × faults, at a real node.

Rows are played by a few lanes at a time, each with a node of its own; a test is one row's result. `make test` plays a
pairwise choice, `make test-all` every row. A failing row tells its story and shows the logs of all its processes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from comity.core.clock import SystemClock
from conformance.lane import Lane, World
from conformance.play import play
from conformance.processes import starter_of
from conformance.programs import Missing, folder_of
from conformance.rows import Row, all_rows, pairwise

EVERY = list(all_rows())
CHOSEN = pairwise(EVERY)
ROWS = [pytest.param(row, id=row.name, marks=() if row in CHOSEN else pytest.mark.slow) for row in EVERY]
LANES = min(4, max(2, (os.cpu_count() or 1)))
CLOCK = SystemClock()

Results = dict[str, BaseException | str]


async def play_all(rows: Sequence[Row], folder: Path) -> Results:
    """Play rows in several lanes, and return how each went: what was raised, or that it was right (file `rows`)."""
    left = list(reversed(rows))
    results: Results = {}

    async def work(number: int, world: World) -> None:
        async with Lane(f"lane{number}", world) as lane:
            while left:
                row = left.pop()
                began_s = CLOCK.monotonic_s()
                try:
                    await play(row, lane)
                    results[row.name] = "right"
                except Exception as error:  # it is raised in the row's own test
                    results[row.name] = error
                with (folder / "rows").open("a") as file:
                    told = f"{results[row.name]}".partition("\n")[0]
                    file.write(f"{CLOCK.monotonic_s() - began_s:5.1f} s  {row.name}  {told}\n")

    for needs in sorted({row.program.needs for row in rows if row.program.is_python}):
        starter_of(needs)  # it imports for seconds, in which no lane would be heard
    with World(folder) as world:
        await asyncio.gather(*(work(number, world) for number in range(min(LANES, len(rows)))))
    return results


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Play the rows that this session has chosen."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    rows = [item.callspec.params["row"] for item in items if item.path == Path(__file__)]
    here = [row for row in rows if not missing(row)]
    return asyncio.run(play_all(here, tmp_path_factory.mktemp("matrix")))


def missing(row: Row) -> str:
    """Return why a row cannot be played here, empty where it can."""
    try:
        if row.program.needs:
            folder_of(row.program.needs)
    except Missing as error:
        return str(error)
    return ""


@pytest.mark.parametrize("row", ROWS)
def test_every_effect_and_every_thought_happens_once(row: Row, request: pytest.FixtureRequest) -> None:
    """P2, P3 for programs that know nothing of Comity."""
    if reason := missing(row):
        pytest.skip(reason)
    result = request.getfixturevalue("results")[row.name]
    if isinstance(result, BaseException):
        raise result
