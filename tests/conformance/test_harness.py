"""The harness itself: clients, upstream, tools and tally without Comity. They work, and they count what goes wrong.

Without Comity a program that is killed after an effect and started again does everything anew: the tally says so. Were
it silent here, the matrix behind it would prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from comity.testing.waiting import wait_until
from conformance.processes import Agent, FrontControl, Service, show, tail
from conformance.programs import BY_NAME, Missing, Program, folder_of
from conformance.script import GOAL, answer
from tally.client import VARIABLE, Tally, TallyProcess


class World:
    """Upstream, tools and tally, which an agent reaches directly."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.folder = folder
        self.tally: Tally = opened.enter_context(TallyProcess(folder / "tally"))
        variables = {VARIABLE: str(self.tally.port)}
        self.upstream = opened.enter_context(Service("upstream", folder, variables))
        self.tools = opened.enter_context(Service("tools", folder, variables))
        self.fronts = [opened.enter_context(Service("front", folder)) for _ in range(2)]
        self.model, self.mcp = map(FrontControl, self.fronts)
        self.model.backends(*self.upstream.ports)
        self.mcp.backends(*self.tools.ports)

    def start(self, program: Program, ref: str, *, is_stream: bool = False, **variables: str) -> Agent:
        """Start an agent with the goal to book a room."""
        environment = {
            **program.variables(is_stream=is_stream),
            "OPENAI_BASE_URL": f"{self.model.url}/v1",
            "OPENAI_API_KEY": ref,
            "ANTHROPIC_BASE_URL": self.model.url,
            "ANTHROPIC_API_KEY": ref,
            "MCP_URL": f"{self.mcp.url}/mcp",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            **variables,
        }
        return Agent(program, GOAL.format(ref=ref), environment, self.folder / f"{ref}.log")

    def acts(self, ref: str) -> list[str]:
        """Return what happened for a reference, thoughts and effects in order."""
        found = [(effect.name, effect.args["ref"]) for effect in self.tally.book().effects]
        return [name for name, about in found if about == ref or about.startswith(f"{ref}/")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as opened:
        yield World(tmp_path_factory.mktemp("harness"), opened)


def ready(program: Program) -> Program:
    """Return a program that can be started here, else skip the test and say why."""
    try:
        if program.needs:
            folder_of(program.needs)
    except Missing as missing:
        pytest.skip(str(missing))
    return program


ONCE = ["thought", "thought", "book", "thought", "pay", "thought"]


FEW = ("openai-chat", "node-chat", "mcp")
"""The matrix runs all programs; without Comity a few are enough each time."""
NAMES = [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in BY_NAME]


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "sse"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_program_does_its_work_without_comity(name: str, is_stream: bool, world: World) -> None:
    ref = f"{name}-{is_stream:d}"
    agent = world.start(ready(BY_NAME[name]), ref, is_stream=is_stream)
    assert await agent.wait() == 0, show(dict.fromkeys([agent.log, world.upstream.log, world.tools.log], 0))
    assert agent.answer == answer(ref)
    assert world.acts(ref) == (ONCE if BY_NAME[name].wire else ["book", "pay"])


async def test_a_program_that_is_killed_after_the_effect_and_started_again_does_it_twice(world: World) -> None:
    ref = "killed"
    world.tally.hold(f"after book {ref}")
    first = world.start(BY_NAME["openai-chat"], ref)
    await wait_until(lambda: world.tally.waiting(f"after book {ref}"), 20, "the booking")
    first.kill()
    world.tally.open(f"after book {ref}")
    second = world.start(BY_NAME["openai-chat"], ref)
    assert await second.wait() == 0, tail(second.log)
    assert world.acts(ref) == ["thought", "thought", "book", *ONCE]
