"""Server processes behind keepers: what they see and say, and that nothing of them outlives node, lease or keeper."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comity.core.clock import SystemClock
from comity.runtime.kept import KeptProcess, KeptSettings, environment_of
from comity.runtime.nodelock import NodeLock, is_free
from comity.testing.waiting import wait_until
from staging import is_gone

ECHO = "import sys\nfor line in sys.stdin:\n    print(line.strip()[::-1], flush=True)\n"
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"])
print(os.getpid(), child.pid, flush=True)
time.sleep(1000)
"""


@asynccontextmanager
async def kept(
    folder: Path, source: str, *, lock_fd: int = -1, environment: dict[str, str] | None = None
) -> AsyncIterator[tuple[KeptProcess, list[str]]]:
    said: list[str] = []
    settings = KeptSettings(lambda _who, line: said.append(line), str(folder), lock_fd)
    (folder / "server.py").write_text(source)
    command = [sys.executable, "server.py"]
    process = await KeptProcess.start(command, environment or environment_of((), os.environ), "server x", settings)
    try:
        yield process, said
    finally:
        await process.stop(0.0)


async def family(process: KeptProcess) -> list[int]:
    return [int(pid) for pid in (await process.read_line()).split()]


async def test_lines_go_in_and_out_and_it_ends_with_its_input(tmp_path):
    async with kept(tmp_path, ECHO) as (process, _):
        assert await process.write(b"abc\n", lambda: True)
        assert await process.read_line() == b"cba\n"
        await process.stop(5.0)
        assert process.ended.result() == "exited with code 0"
        assert await process.read_line() == b""


async def test_a_server_sees_the_basics_and_what_is_named_and_no_secret_else(tmp_path):
    mine = {"PATH": os.environ["PATH"], "HOME": "/h", "LC_ALL": "C", "TOKEN": "t0ken", "OPENAI_API_KEY": "hush"}
    seen = environment_of(("TOKEN", "ABSENT"), mine)
    assert seen == {"PATH": os.environ["PATH"], "HOME": "/h", "LC_ALL": "C", "TOKEN": "t0ken"}
    source = "import os\nprint(sorted(set(os.environ) - {'LC_CTYPE'}), flush=True)\n"
    async with kept(tmp_path, source, environment=seen) as (process, _):
        assert (await process.read_line()).decode().strip() == "['HOME', 'LC_ALL', 'PATH', 'TOKEN']"


async def test_what_it_says_on_standard_error_is_heard_line_by_line(tmp_path):
    async with kept(tmp_path, "import sys\nsys.stderr.write('one\\ntwo')\n") as (process, said):
        assert await process.ended == "exited with code 0"
        await process.stop(0.0)
        assert said == ["one", "two"]


async def test_what_it_wrote_before_its_end_is_read(tmp_path):
    source = "import os\nprint('last', flush=True)\nos.kill(os.getpid(), 9)\n"
    async with kept(tmp_path, source) as (process, _):
        assert await process.ended == "killed by signal 9"
        assert await process.read_line() == b"last\n"
        assert await process.read_line() == b""


async def test_a_process_that_it_leaves_behind_does_not_keep_its_lines_open(tmp_path):
    source = "import subprocess\nleft = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
    async with kept(tmp_path, source + "print(left.pid, flush=True)\n") as (process, _):
        (left,) = await family(process)
        assert await asyncio.wait_for(process.read_line(), 5) == b""
        assert not is_gone(left)
        os.kill(left, signal.SIGKILL)


async def test_a_command_that_is_not_there_says_so(tmp_path):
    settings = KeptSettings(lambda _who, _line: None, str(tmp_path))
    process = await KeptProcess.start(["no-such-command"], {"PATH": "/usr/bin"}, "server x", settings)
    assert await process.ended == "`no-such-command` cannot be started: no such file or directory"
    await process.stop(0.0)


async def test_it_is_killed_with_all_that_it_started(tmp_path):
    async with kept(tmp_path, FAMILY) as (process, _):
        pids = await family(process)
        process.kill()
        assert await process.ended == "killed by signal 9"
        await wait_until(lambda: all(is_gone(pid) for pid in pids))


async def test_it_dies_with_its_keeper(tmp_path):
    async with kept(tmp_path, FAMILY) as (process, _):
        server, helper = await family(process)
        os.kill(process.pid, signal.SIGKILL)
        assert await process.ended == "its keeper was killed"
        await wait_until(lambda: is_gone(server))
        os.kill(helper, signal.SIGKILL)


async def test_it_ends_when_the_lease_that_it_was_told_has_run_out_though_the_node_is_frozen(tmp_path):
    async with kept(tmp_path, FAMILY) as (process, _):
        pids = await family(process)
        now_s = SystemClock().monotonic_s()
        process.tell_lease(now_s + 1_000)
        process.tell_lease(now_s + 0.1)
        assert await asyncio.wait_for(process.ended, 5) == "killed by signal 9"
        await wait_until(lambda: all(is_gone(pid) for pid in pids))


NODE = """
import asyncio, sys
from comity.runtime.kept import KeptProcess, KeptSettings
from comity.runtime.nodelock import NodeLock
from pathlib import Path

async def main(lock, command):
    held = NodeLock.acquire(Path(lock))
    settings = KeptSettings(lambda *_: None, ".", held.fileno())
    process = await KeptProcess.start(command, {"PATH": "/usr/bin:/bin"}, "server", settings)
    print((await process.read_line()).decode().strip(), process.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(sys.argv[1], sys.argv[2:]))
"""


def start_node(command: list[str]) -> tuple[subprocess.Popen[str], list[int]]:
    node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert node.stdout is not None
    return node, [int(pid) for pid in node.stdout.readline().split()]


async def test_it_dies_with_its_node_and_the_nodes_lock_is_free_no_sooner(tmp_path):
    (tmp_path / "family.py").write_text(FAMILY)
    lock = tmp_path / "node.lock"
    command = [sys.executable, "-c", NODE, str(lock), sys.executable, str(tmp_path / "family.py")]
    node, (server, helper, keeper) = start_node(command)
    os.kill(keeper, signal.SIGSTOP)
    node.kill()
    node.communicate()
    assert not is_free(lock), "a frozen keeper still holds it"
    assert not is_gone(server)
    os.kill(keeper, signal.SIGCONT)
    await wait_until(lambda: is_free(lock))
    await wait_until(lambda: is_gone(server) and is_gone(helper))
    NodeLock.acquire(lock).release()


async def test_a_message_that_may_not_begin_is_not_written_and_one_that_waits_is_asked_for_again(tmp_path):
    source = "import time\nprint('up', flush=True)\ntime.sleep(1000)\n"
    async with kept(tmp_path, source) as (process, _):
        assert await process.read_line() == b"up\n"
        assert not await process.write(b"no\n", lambda: False)
        filling = asyncio.create_task(process.write(b"x" * 1_000_000, lambda: True))
        asked: list[bool] = []

        def may_begin() -> bool:
            asked.append(True)
            return len(asked) == 1

        waiting = asyncio.create_task(process.write(b"late\n", may_begin))
        await wait_until(lambda: asked)
        process.kill()
        with pytest.raises(OSError, match="pipe"):
            await filling
        assert not await waiting
        assert asked == [True, True]
