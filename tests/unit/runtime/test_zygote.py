"""Zygotes: what they inherit, what becomes of files that change or cannot be loaded, what survives a node."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from comity.core.codec import decode
from comity.core.errors import UsageError
from comity.journal.spec import Effect
from comity.runtime.isolation import Isolation, is_whole
from comity.runtime.nodelock import NodeLock, is_free
from comity.testing.waiting import wait_until
from staging import environment_of, is_gone, new_task, permit, staged, write

TOOLS = """
@tool(effect="read")
def look() -> dict:
    fds = {int(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) > 2
           and os.path.exists(f"/proc/self/fd/{fd}") or int(fd) < 3}
    return {"env": dict(os.environ), "fds": list(fds.values()), "pid": os.getpid(), "parent": os.getppid(),
            "signal": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "modules": sorted(sys.modules)}

@agent
async def show(ctx: Context) -> list:
    return sorted(sys.modules)

@agent
async def surroundings(ctx: Context) -> dict:
    return dict(os.environ)

@tool
def hang(path: str) -> None:
    open(path, "w").close()
    time.sleep(1000)
"""
NODE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from staging import new_task, permit, staged
from comity.runtime.nodelock import NodeLock

async def main(file, lock):
    held = NodeLock.acquire(Path(lock))
    async with staged(file, lock_fd=held.fileno()) as stage:
        await stage.perform("look")
        brain = await stage.start_brain("idle")
        print(*stage.hands.pids.values(), brain.brain.pid, flush=True)
        await stage.perform("hang", b'{"path":"' + lock.encode() + b'.mark"}')

asyncio.run(main(*sys.argv[2:]))
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path / "shop.py", TOOLS)


async def test_no_secret_of_the_node_reaches_a_brain_or_a_hand(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hush")
    monkeypatch.setenv("SHOP_URL", "http://shop")
    monkeypatch.setenv("LC_TIME", "C")
    async with staged(file, hand_env=("SHOP_URL",)) as stage:
        look = decode((await stage.perform("look")).value)
        brain = await stage.start_brain("surroundings")
        step = (await wait_until(lambda: brain.steps))[0]
        assert step.finished is not None
        assert not {"SHOP_URL", "OPENAI_API_KEY"} & decode(step.finished.result).keys()
        for pid in (look["pid"], look["parent"], brain.brain.pid):
            seen = environment_of(pid)
            assert "OPENAI_API_KEY" not in seen
            assert "HOME" not in seen
            assert "SHOP_URL" not in seen, "neighbours could read what a hand is configured with"
        assert look["env"]["SHOP_URL"] == "http://shop"
        assert look["env"]["LC_TIME"] == "C"


async def test_a_child_inherits_no_descriptor_but_its_own(file: str, tmp_path: Path) -> None:
    lock = NodeLock.acquire(tmp_path / "lock")
    try:
        async with staged(file, lock_fd=lock.fileno()) as stage:
            await stage.perform("look")
            fds = decode((await stage.perform("look")).value)["fds"]
    finally:
        lock.release()
    kinds = sorted(fd.partition(":")[0] for fd in fds)
    # Input and output, its channel, the loop's own poll and pair of sockets, the lock; none of another or the zygote.
    assert kinds == sorted(["/dev/null", "pipe", "pipe", "socket", "socket", "socket", "anon_inode", str(lock.path)])


async def test_a_child_has_default_signals_and_a_brain_loads_only_what_it_needs(file: str) -> None:
    async with staged(file) as stage:
        assert decode((await stage.perform("look")).value)["signal"] is True
        brain = await stage.start_brain("show")
        step = (await wait_until(lambda: brain.steps))[0]
        assert step.finished is not None
        folders = {name.split(".")[1] for name in decode(step.finished.result) if name.startswith("comity.")}
        assert folders <= {"agents", "journal", "core", "runtime"}
        runtime = {name for name in decode(step.finished.result) if name.startswith("comity.runtime.")}
        own = {"forking", "hardening", "isolation", "landlock", "seccomp"}
        assert runtime == {f"comity.runtime.{name}" for name in own}


async def test_a_file_is_described_without_being_imported_here(file: str) -> None:
    before = set(sys.modules)
    async with staged(file) as stage:
        assert [agent.name for agent in stage.program.agents] == ["idle", "show", "surroundings"]
        assert stage.program.tool("look").effect is Effect.READ  # type: ignore[union-attr]
    assert not any(name.startswith("comity_agent_file") for name in set(sys.modules) - before)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def broken(:", "bad.py:1"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("import os; os._exit(3)", "its process ended while it was loaded"),
    ],
)
async def test_a_file_that_cannot_be_loaded_says_why_and_can_be_corrected(
    tmp_path: Path, source: str, said: str
) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(source)
    async with staged(write(tmp_path / "good.py", "")) as stage:
        with pytest.raises(UsageError, match=said):
            await stage.zygotes.describe(str(bad))
        write(bad, "")
        assert (await stage.zygotes.describe(str(bad))).agent("idle")


async def test_a_changed_source_gets_a_fresh_zygote_and_running_hands_go_on(tmp_path: Path) -> None:
    source = "from prices import PRICE\n@tool\ndef price() -> list:\n    return [PRICE, os.getppid()]\n"
    (tmp_path / "prices.py").write_text("PRICE = 1\n")
    async with staged(write(tmp_path / "shop.py", source)) as stage:
        task = new_task()
        price, zygote = decode((await stage.perform("price", with_permit=permit(task))).value)
        assert price == 1
        (tmp_path / "prices.py").write_text("PRICE = 20\n")
        assert decode((await stage.perform("price")).value)[0] == 20
        assert decode((await stage.perform("price", with_permit=permit(task, 2))).value) == [1, zygote]
        assert not is_gone(zygote)
        stage.hands.release(task)
        await wait_until(lambda: is_gone(zygote))


async def test_the_death_of_a_zygote_is_the_death_of_its_children_and_another_takes_over(file: str) -> None:
    async with staged(file) as stage:
        look = decode((await stage.perform("look")).value)
        os.kill(look["parent"], signal.SIGKILL)
        await wait_until(lambda: is_gone(look["pid"]) and not stage.hands.pids)
        assert (await stage.perform("look")).end == "done"


async def test_nothing_survives_a_killed_node_and_its_lock_is_free_only_then(file: str, tmp_path: Path) -> None:
    lock = tmp_path / "nodes" / "one.lock"
    tests = str(Path(__file__).parents[2])
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NODE, tests, file, str(lock)), stdout=asyncio.subprocess.PIPE
    )
    assert node.stdout is not None
    hand, brain = map(int, (await node.stdout.readline()).split())
    await wait_until(lambda: Path(f"{lock}.mark").exists())
    assert not is_free(lock)
    node.kill()
    await node.wait()
    await wait_until(lambda: is_gone(hand) and is_gone(brain) and is_free(lock))


async def test_a_frozen_hand_still_holds_the_lock_of_its_node(file: str, tmp_path: Path) -> None:
    lock = NodeLock.acquire(tmp_path / "one.lock")
    async with staged(file, lock_fd=lock.fileno()) as stage:
        await stage.perform("look")
        (pid,) = stage.hands.pids.values()
        os.kill(pid, signal.SIGSTOP)
        lock.release()
        assert not is_free(lock.path)
    await wait_until(lambda: is_gone(pid))
    await wait_until(lambda: is_free(lock.path))


async def test_a_secret_that_a_tool_returns_or_raises_reaches_neither_brain_nor_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise P5."""
    secret = 'tok"en-of-the-shop'
    monkeypatch.setenv("SHOP_TOKEN", secret)
    source = """
@tool(effect="idempotent")
async def leak() -> dict[str, str]:
    return {"said": "the token is " + os.environ["SHOP_TOKEN"]}

@tool(effect="idempotent")
async def fail() -> None:
    raise RuntimeError("no such user: " + os.environ["SHOP_TOKEN"])
"""
    file = write(tmp_path / "leaky.py", source)
    async with staged(file, hand_env=("SHOP_TOKEN",), secrets=(secret,)) as stage:
        assert (await stage.perform("leak")).value == b'{"said":"the token is [hidden]"}'
        assert (await stage.perform("fail")).error == "RuntimeError: no such user: [hidden]"


THIEF = """
from crash.hostile import attack

@agent
async def thief(ctx: Context) -> dict:
    return attack(ctx.goal)

@tool(effect="read")
def free(path: str) -> str:
    return open(path).read()
"""


@pytest.mark.skipif(not is_whole(), reason="this kernel does not have all of Landlock and seccomp")
async def test_an_isolated_brain_gets_at_nothing_and_a_hand_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same brain without isolation gets at all of it, so that the probes prove something."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    secret = tmp_path / "home" / "secret"
    secret.parent.mkdir()
    secret.write_text("hush")
    file = write(tmp_path / "thief.py", THIEF)
    source = write(tmp_path / "helpers.py", "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        targets = {"files": [str(secret)], "victims": [source], "ports": [server.getsockname()[1]]}
        isolation = Isolation((str(secret.parent),), changeable=("/tmp", "/var/tmp"))
        reports = []
        for given in (None, isolation):
            async with staged(file, isolation=given) as stage:
                neighbour = await stage.start_brain("idle")
                pids = {"neighbour": neighbour.brain.pid, "node": os.getpid()}
                goal = json.dumps({**targets, "pids": pids}).encode()
                thief = await stage.start_brain("thief", goal=goal)
                step = (await wait_until(lambda brain=thief: brain.steps))[0]
                assert step.finished is not None
                assert not step.finished.error, step.finished
                reports.append(decode(step.finished.result))
                path = json.dumps({"path": str(secret)}).encode()
                assert decode((await stage.perform("free", path)).value) == "hush"
    bare, isolated = ({name for name, said in report.items() if said.startswith("found")} for report in reports)
    assert {f"read {secret}", f"write {source}", "signal node", f"connect to {targets['ports'][0]}"} <= bare
    assert not isolated, reports[1]
