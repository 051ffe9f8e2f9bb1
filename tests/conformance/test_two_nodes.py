"""Two nodes on one PostgreSQL behind a round-robin proxy; either is killed while answers stream: nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from comity.testing.waiting import wait_until
from conformance.lane import Lane, World
from conformance.play import Run, story
from conformance.programs import BY_NAME
from conformance.rows import Row
from conformance.script import answer
from postgres import postgres_url

PROGRAMS = ("openai-chat", "openai-responses", "anthropic-messages", "node-chat")


@pytest.mark.parametrize("victim", [0, 1])
async def test_either_of_two_nodes_dies_while_answers_stream_and_no_call_is_lost_or_doubled(
    victim: int, tmp_path: Path
) -> None:
    """P1, P2, P3: every request of a program goes to the other node than the one before."""
    with World(tmp_path) as world:
        async with Lane("pair", world, store=postgres_url(), nodes=2) as lane:
            runs, marks = [], lane.marks()
            for number, name in enumerate(PROGRAMS):
                row = Row(BY_NAME[name], number % 2 == 0, "two-nodes", "http")
                runs.append(Run(row, lane, await lane.create("http", row.name)))
            gates = [f"middle {run.ref}/1" for run in runs]
            await asyncio.gather(*(run.reach(gate) for run, gate in zip(runs, gates, strict=True)))
            holders = {(await lane.show(run.adopted.task))["node"] for run in runs}
            lane.nodes[victim].close()  # with its socket: whoever comes to it is refused
            for run, gate in zip(runs, gates, strict=True):
                await run.open(gate)
            try:
                await asyncio.gather(*(run.follow() for run in runs))
            except AssertionError as error:
                error.add_note("\n".join([f"holders {holders}", *[await story(run, marks) for run in runs]]))
                raise
            for run in runs:
                assert run.agent is not None
                assert run.agent.answer == answer(run.ref)
                acts = Counter(world.acts(run.ref))
                doubled = {act: number for act, number in acts.items() if number > 1}
                assert all(act.startswith("thought/1 ") and number == 2 for act, number in doubled.items()), acts
                assert acts["book"] == acts["pay"] == 1
                await lane.finish(run.adopted.task, run.agent.answer)


async def test_two_nodes_share_the_requests_of_one_program(tmp_path: Path) -> None:
    """A task's calls come in at both nodes, and are answered by the one that holds it."""
    with World(tmp_path) as world:
        async with Lane("pair", world, store=postgres_url(), nodes=2) as lane:
            run = Run(Row(BY_NAME["openai-chat"], False, "none", "http"), lane, await lane.create("http", "two"))
            run.start()
            await run.follow()
            assert run.agent is not None
            assert run.agent.answer == answer(run.ref)
            assert sorted(Counter(world.acts(run.ref)).values()) == [1] * 6
            await wait_until(lambda: run.asked("model") == 4, 10, "four requests for thoughts")
