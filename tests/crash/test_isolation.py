"""Hostile brains of the same user, programs and brains of agent files: they look for what is not theirs.

Each probe is made twice: isolated, where it must find nothing, and without isolation, where it must find something, or
it would prove nothing.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import comity
from comity.runtime.isolation import is_whole
from crash.supervised import KEY, TESTS, Machine, Run, command_of, descendants, user
from staging import environment_of

pytestmark = pytest.mark.skipif(not is_whole(), reason="this kernel does not have all of Landlock and seccomp")
HOSTILE = TESTS / "crash" / "hostile.py"
PLAN = "a plan that is nobody-elses"
HIDERS = ("eldest", "supervisor", "node", "guardian", "zygote")
"""Processes that hide from their user's others; root sees them all the same."""
BARE_PROGRAM = """
import comity.cli.program as program
real = program.Launch
program.Launch = lambda command, environment, isolation, **more: real(command, environment, None, **more)
from comity.cli.main import main
main()
"""
BARE_BRAIN = """
import comity.runtime.node as node
node.of_brains = lambda *given: None
from comity.cli.main import main
main()
"""
THIEF = """
from comity import Context, agent, tool
from crash.hostile import attack

@tool(effect="read")
def warm(order: int) -> int:
    return order

@agent(tools=[warm])
async def thief(context: Context) -> dict:
    await context.act(warm, order=7)
    return attack(context.goal)
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with user(tmp_path) as made:
        yield made


@pytest.fixture
def abstract(tmp_path: Path) -> Iterator[str]:
    """The name of an abstract socket of another process."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0comity-{tmp_path.name}-{os.getpid()}")
        server.listen()
        yield f"comity-{tmp_path.name}-{os.getpid()}"


async def neighbour(machine: Machine, **environment: str) -> Run:
    """Run a program that thinks and then stays, with a plan that is nobody else's business."""
    run = machine.run("--goal", PLAN, "--", "think", "hush", "hang", environment=environment)
    await run.said("hangs")
    return run


def program_of(other: Run) -> int:
    """Return the pid of a supervisor's program."""
    outside = str(HOSTILE.with_name("outside.py"))
    return next(pid for pid in descendants(other.process.pid) if outside in command_of(pid))


def targets_of(machine: Machine, other: Run, abstract: str) -> dict[str, Any]:
    """Return what a hostile brain is after, with all that it may know by looking around."""
    state = machine.home / ".local" / "share" / "comity"
    (state / "victim").write_text("whole")
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = free.getsockname()[1]
    there = environment_of(program_of(other))
    return {
        "files": [*map(str, state.glob("*.db*")), str(machine.home / ".config" / "comity" / "comity.toml")],
        "folders": [str(state), str(machine.home / ".config" / "comity")],
        "victims": [str(state / "victim")],
        "kept": [comity.__file__] if os.access(comity.__file__, os.W_OK) else [],
        "pids": {
            "neighbour": program_of(other),
            "neighbour's supervisor": other.process.pid,
            "neighbour's node": other.node(),
        },
        "ports": [machine.upstream.server_port, urlsplit(there["OPENAI_BASE_URL"]).port],
        "listen": [listen],
        "abstract": [abstract],
        "has_relatives": True,
    }


def found(report: dict[str, str]) -> set[str]:
    return {name for name, said in report.items() if said.startswith("found")}


def assert_robbed(report: dict[str, str]) -> None:
    """Without isolation every probe finds something, but for what root alone can do, or this kernel cannot."""
    missed = {name: said for name, said in report.items() if not said.startswith("found")}
    if os.geteuid() != 0:
        hidden = [name for name in missed if any(name.endswith(role) for role in HIDERS)]
        missed = {name: said for name, said in missed.items() if name not in hidden}
        missed = {
            name: said for name, said in missed.items() if name not in {"have a raw socket", "write to the kernel"}
        }
    missed = {
        name: said for name, said in missed.items() if "not supported" not in said and "not available" not in said
    }
    assert not missed


async def test_a_hostile_program_gets_at_nothing_that_is_not_its_own(machine: Machine, abstract: str) -> None:
    other = await neighbour(machine)
    operator = machine.comity("token", "new", "ada")["token"]
    token = environment_of(program_of(other))["OPENAI_API_KEY"]
    targets = json.dumps(targets_of(machine, other, abstract))
    isolated = machine.command("--", sys.executable, str(HOSTILE), targets)
    assert await isolated.code() == 0, isolated.err
    report = json.loads(isolated.out)
    assert not found(report), {name: report[name] for name in found(report)}
    assert {f"signal {role}" for role in ("eldest", "node", "guardian", "neighbour")} <= report.keys()
    assert not [secret for secret in (KEY, operator, PLAN, token) if secret in isolated.out]
    bare = machine.command("--", sys.executable, str(HOSTILE), targets, main=BARE_PROGRAM)
    assert await bare.code() == 0, bare.err
    assert_robbed(json.loads(bare.out))
    assert not [secret for secret in (PLAN, token) if secret not in bare.out]
    assert operator not in bare.out, "it is in no file and in no process"


async def test_the_brain_of_a_hostile_agent_file_gets_at_nothing(machine: Machine, abstract: str) -> None:
    # On a store of its own, or its node would do the work.
    other = await neighbour(machine, COMITY_STORE__URL=f"sqlite:///{machine.home}/.local/share/comity/other.db")
    (machine.work / "thief.py").write_text(THIEF)
    goal = json.dumps(targets_of(machine, other, abstract))
    isolated = machine.command("thief.py", "--json", "--goal-json", goal)
    assert await isolated.code() == 0, isolated.err
    report = json.loads(isolated.out)["result"]
    assert not found(report), {name: report[name] for name in found(report)}
    assert {f"signal {role}" for role in ("eldest", "brain zygote", "hand zygote")} <= report.keys()
    bare = machine.command("thief.py", "--json", "--goal-json", goal, main=BARE_BRAIN)
    assert await bare.code() == 0, bare.err
    assert_robbed(json.loads(bare.out)["result"])
