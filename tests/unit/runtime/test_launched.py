"""Guardians: a program starts isolated or not at all, its end is told, and nothing of it outlives anybody."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from comity.core.errors import HandsError
from comity.runtime.isolation import Isolation, is_whole
from comity.runtime.launched import ProgramProcess
from comity.runtime.launching import Launch
from comity.testing.waiting import wait_until
from staging import is_gone

TESTS = Path(__file__).parents[2]
DAEMON = """
import os, subprocess, sys, time
# One that stays in the group, one that leaves it, one whose parent is gone.
subprocess.Popen(["sleep", "86417"])
subprocess.Popen(["sleep", "86417"], start_new_session=True)
child = "import subprocess; subprocess.Popen(['sleep', '86417'], start_new_session=True)"
subprocess.Popen([sys.executable, "-c", child]).wait()
print(os.getpid(), flush=True)
"""
SUPERVISOR = """
import asyncio, os, sys
from comity.runtime.launched import ProgramProcess
from comity.runtime.launching import Launch

async def main():
    launch = Launch(tuple(sys.argv[2:]), dict(os.environ), grace_s=float(sys.argv[1]))
    process = await ProgramProcess.start(launch, os.environ)
    print(process.pid, flush=True)
    await process.wait()

asyncio.run(main())
"""


def python(source: str, **given: object) -> Launch:
    return Launch((sys.executable, "-c", source), dict(os.environ), **given)  # type: ignore[arg-type]


async def ended(process: ProgramProcess) -> int:
    """Return how a program ended, which is soon."""
    return await asyncio.wait_for(process.wait(), 20)


def sleepers() -> set[int]:
    """The pids of `sleep 86417` on this machine."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes() == b"sleep\x0086417\x00":
                found.add(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("code", [0, 3, 127])
async def test_an_exit_code_is_told(code: int) -> None:
    process = await ProgramProcess.start(python(f"import sys; sys.exit({code})"), os.environ)
    assert await ended(process) == code
    assert process.has_ended


async def test_a_signal_is_told() -> None:
    process = await ProgramProcess.start(python("import time; time.sleep(1000)"), os.environ)
    os.kill(process.pid, signal.SIGKILL)
    assert await ended(process) == -signal.SIGKILL
    process = await ProgramProcess.start(python("import time; time.sleep(1000)"), os.environ)
    process.send(signal.SIGTERM)
    assert await ended(process) == -signal.SIGTERM


async def test_what_a_program_prints_goes_where_its_supervisor_says_as_it_comes(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        source = "import time; print('one', flush=True); time.sleep(1000)"
        process = await ProgramProcess.start(python(source), os.environ, stdin=subprocess.DEVNULL, stdout=out)
        await wait_until(lambda: (tmp_path / "out").read_text() == "one\n")
        process.send(signal.SIGKILL)
        await ended(process)


async def test_a_program_gets_its_environment_and_no_descriptor_of_others() -> None:
    launch = Launch((sys.executable, "-c", "import os, sys; sys.exit(len(os.listdir('/proc/self/fd')))"), {"ONLY": "1"})
    assert await ended(await ProgramProcess.start(launch, os.environ)) == 4  # the list itself is one
    source = "import os, sys; sys.exit(os.environ.keys() - {'LC_CTYPE'} != {'ONLY'})"
    launch = Launch((sys.executable, "-c", source), {"ONLY": "1"})
    assert await ended(await ProgramProcess.start(launch, os.environ)) == 0


async def test_a_program_has_default_signals_and_a_group_of_its_own() -> None:
    source = """
import os, signal, sys
ours = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD]
allowed = (signal.SIG_DFL, signal.default_int_handler)
sys.exit(os.getpgrp() != os.getpid() or any(signal.getsignal(number) not in allowed for number in ours))
"""
    assert await ended(await ProgramProcess.start(python(source), os.environ)) == 0


async def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(HandsError, match="`no-such-command` cannot be started: no such file or directory"):
        await ProgramProcess.start(Launch(("no-such-command",), dict(os.environ)), os.environ)


async def test_a_file_that_cannot_be_executed_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no program")
    with pytest.raises(HandsError, match="permission denied"):
        await ProgramProcess.start(Launch((str(tmp_path / "notes.txt"),), dict(os.environ)), os.environ)


@pytest.mark.skipif(not is_whole(), reason="this kernel does not have all of Landlock and seccomp")
async def test_a_program_that_cannot_be_isolated_is_not_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    launch = python(f"open({str(mark)!r}, 'w')", isolation=Isolation((), ports=(70_000,)))
    with pytest.raises(HandsError, match="it cannot be isolated"):
        await ProgramProcess.start(launch, os.environ)
    assert not mark.exists()


@pytest.mark.skipif(not is_whole(), reason="this kernel does not have all of Landlock and seccomp")
async def test_a_program_starts_isolated(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secret").write_text("hush")
    launch = python(f"open({str(tmp_path / 'home' / 'secret')!r})", isolation=Isolation((str(tmp_path / "home"),)))
    with (tmp_path / "out").open("w") as out:
        assert await ended(await ProgramProcess.start(launch, os.environ, stdout=out)) == 1
    assert await ended(await ProgramProcess.start(python(launch.arguments[2]), os.environ)) == 0


async def test_what_a_program_leaves_behind_ends_with_it() -> None:
    before = sleepers()
    assert await ended(await ProgramProcess.start(python(DAEMON), os.environ, stdout=None)) == 0
    assert sleepers() <= before


async def test_a_program_that_does_not_end_when_told_is_ended_by_force() -> None:
    before = sleepers()
    source = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{DAEMON}\nimport time; time.sleep(1000)"
    process = await ProgramProcess.start(python(source), os.environ)
    await wait_until(lambda: len(sleepers() - before) == 3)
    assert await process.end(0.1) == -signal.SIGKILL
    assert sleepers() <= before


@pytest.mark.parametrize("grace_s", [0, 30])
async def test_nothing_is_left_where_the_supervisor_is_killed(grace_s: float) -> None:
    before = sleepers()
    source = f"{DAEMON}\nimport time; time.sleep(1000)"
    supervisor = subprocess.Popen(  # noqa: ASYNC220 - it is to be killed under this very process
        [sys.executable, "-c", SUPERVISOR, str(grace_s), sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    with supervisor.stdout as out:
        pid = int(out.readline())
        await wait_until(lambda: len(sleepers() - before) == 3)
        supervisor.kill()
        supervisor.wait()
        await wait_until(lambda: is_gone(pid) and sleepers() <= before)


async def test_a_program_dies_with_a_guardian_that_is_killed() -> None:
    process = await ProgramProcess.start(python("import time; time.sleep(1000)"), os.environ)
    process._guardian.kill()
    assert await ended(process) == -signal.SIGKILL
    await wait_until(lambda: is_gone(process.pid))


async def test_a_descriptor_that_is_passed_on_is_the_programs_alone() -> None:
    read, write = os.pipe()
    source = f"import os, time; os.write({write}, b'up'); os.close({write}); time.sleep(1000)"
    process = await ProgramProcess.start(python(source, fds=(write,)), os.environ)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert await asyncio.wait_for(asyncio.to_thread(pipe.read), 20) == b"up", "its end closed, though it runs on"
    process.send(signal.SIGKILL)
    await ended(process)
