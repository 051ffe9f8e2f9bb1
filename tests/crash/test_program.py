"""`comity run -- CMD`: a program that knows nothing of Comity is started, recalled after each crash, ended cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from comity.testing.waiting import wait_until
from crash.supervised import KEY, Machine, command_of, descendants, user
from staging import is_gone


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with user(tmp_path) as made:
        yield made


def effects(machine: Machine) -> list[str]:
    """What was booked, in the order in which it happened."""
    return [effect.args["ref"] for effect in machine.tally.book().effects]


async def test_a_program_thinks_and_acts_and_its_end_is_the_tasks(machine: Machine) -> None:
    run = machine.run("--", "think", "north", "book", "7", "print", "OPENAI_AGENTS_DISABLE_TRACING")
    assert await run.code() == 0, run.err
    assert run.out == "thought north\nbooked 7\n1\n"
    assert machine.upstream.keys == {f"Bearer {KEY}"}
    (task,) = machine.comity("tasks", "ls")["tasks"]
    assert (task["state"], task["agent"]) == ("succeeded", "outside")
    assert effects(machine) == ["7"]
    assert "succeeded" in run.err


async def test_after_a_crash_the_program_recalls_what_it_did(machine: Machine) -> None:
    run = machine.run("--", "think", "a", "book", "7", "exit", "3", "1", "think", "b", "die", "2", "book", "8")
    assert await run.code() == 0, run.err
    assert len(machine.lives) == 3
    assert machine.upstream.asked == {"a": 1, "b": 1}
    assert effects(machine) == ["7", "8"]
    assert "the program ended with exit code 3; it begins anew" in run.err
    assert "the program ended with SIGKILL; it begins anew" in run.err


async def test_three_lives_in_a_row_that_leave_nothing_park_the_task(machine: Machine) -> None:
    run = machine.run("--", "think", "a", "exit", "3", "100")
    assert await run.code() == 4
    assert len(machine.lives) == 4, "the first left a thought"
    assert "parked: stalled" in run.err
    assert f"comity run --task {run.task} -- " in run.err
    again = machine.run("--task", run.task, "--", "think", "a")
    assert await again.code() == 0, again.err
    assert machine.upstream.asked == {"a": 1}


async def test_without_restart_a_crash_fails_the_task(machine: Machine) -> None:
    run = machine.run("--no-restart", "--", "think", "a", "exit", "3", "1")
    assert await run.code() == 1
    assert "the program ended with exit code 3" in run.err
    assert len(machine.lives) == 1
    (task,) = machine.comity("tasks", "ls")["tasks"]
    assert task["state"] == "failed"


async def test_a_node_that_is_killed_is_replaced_and_the_program_waits(machine: Machine) -> None:
    machine.tally.hold("after book 7")
    run = machine.run("--", "think", "a", "book", "7", "think", "b")
    await wait_until(lambda: machine.tally.waiting("after book 7"))
    node = run.node()
    os.kill(node, signal.SIGKILL)
    await wait_until(lambda: "the node ended (SIGKILL)" in run.err)
    machine.tally.open("after book 7")
    code = await run.code()
    assert effects(machine) == ["7"], "it is in doubt, and never made again"
    assert (code, "parked: in_doubt" in run.err) == (4, True), run.err
    assert "--happened --result JSON" in run.err


async def test_a_node_that_is_killed_between_calls_goes_unnoticed(machine: Machine) -> None:
    run = machine.run("--", "think", "a", "exit", "9", "1", "think", "b", "book", "7")
    await wait_until(lambda: "exit code 9" in run.err)
    os.kill(run.node(), signal.SIGKILL)
    assert await run.code() == 0, run.err
    assert machine.upstream.asked == {"a": 1, "b": 1}
    assert effects(machine) == ["7"]


async def test_nothing_is_left_of_a_supervisor_that_is_killed_and_the_same_command_goes_on(machine: Machine) -> None:
    words = ("--dedupe", "trip-7", "--", "think", "a", "book", "7", "hang")
    run = machine.run(*words)
    await run.said("hangs")
    started = descendants(run.process.pid)
    assert len(started) >= 4, "two guardians, a node, a program"
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    await wait_until(lambda: all(is_gone(pid) for pid in started), 20)
    again = machine.run(*words)
    await again.said("hangs")
    assert again.task == run.task
    assert machine.upstream.asked == {"a": 1}
    assert effects(machine) == ["7"]


async def test_ctrl_c_ends_the_program_and_says_how_to_go_on(machine: Machine) -> None:
    run = machine.run("--", "think", "a", "hang")
    await run.said("hangs")
    started = descendants(run.process.pid)
    run.send(signal.SIGINT)
    assert await run.code() == 130
    assert all(is_gone(pid) for pid in started)
    assert "parked: paused" in run.err
    assert f"comity run --task {run.task} -- " in run.err
    again = machine.run("--task", run.task, "--", "think", "a")
    assert await again.code() == 0, again.err
    assert machine.upstream.asked == {"a": 1}


async def test_in_a_terminal_the_program_reads_what_is_typed_and_gets_the_ctrl_c_itself(machine: Machine) -> None:
    source = """
import os, signal, sys
print(os.isatty(0), os.isatty(1), input(), flush=True)
signal.signal(signal.SIGINT, lambda *_: sys.exit("saw it"))
print("waits", flush=True)
signal.pause()
"""
    run = machine.command("--", "python", "-c", source, has_terminal=True)
    run.type(b"hello\n")
    await run.said("True True hello")
    await run.said("\nwaits\n")
    run.type(b"\x03")
    assert await run.code() == 130, run.out
    assert "saw it" in run.out
    assert "parked: paused" in run.out


async def test_a_second_ctrl_c_quits_at_once(machine: Machine) -> None:
    run = machine.run("--", "stubborn", "hang")
    await run.said("hangs")
    started = descendants(run.process.pid)
    run.send(signal.SIGINT)
    await wait_until(lambda: "Ctrl-C again quits" in run.err)
    run.send(signal.SIGINT)
    assert await run.code(5) == 130
    await wait_until(lambda: all(is_gone(pid) for pid in started), 20)


async def test_a_task_that_is_cancelled_ends_its_program(machine: Machine) -> None:
    run = machine.run("--", "think", "a", "hang")
    await run.said("hangs")
    machine.comity("tasks", "cancel", run.task)
    assert await run.code() == 6, run.err
    assert "its program is ended" in run.err


async def test_a_task_over_its_budget_ends_its_program_and_goes_on_with_more(machine: Machine) -> None:
    steps = ("think", "a", "think", "b")
    run = machine.run("--budget", "calls.model=1", "--", *steps)
    assert await run.code() == 4, run.err
    assert "parked: over_budget" in run.err
    again = machine.run("--task", run.task, "--budget", "calls.model=5", "--", *steps)
    assert await again.code() == 0, again.err
    assert machine.upstream.asked == {"a": 1, "b": 1}


async def test_a_question_of_the_program_is_shown_with_the_way_to_answer_it(machine: Machine) -> None:
    run = machine.run("--", "ask", "Ship it?")
    await wait_until(lambda: "? Ship it?" in run.err, 30)
    assert f"comity questions answer {run.task}" in run.err
    machine.comity("questions", "answer", run.task, "on Monday")
    assert await run.code() == 0, run.err
    assert "on Monday" in run.out


async def test_a_program_of_a_server_that_is_named_goes_on_when_that_is_back(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = machine.up(port)
    await wait_until(lambda: f"listens on http://127.0.0.1:{port}" in server.err, 30)
    token = machine.comity("token", "new", "ada")["token"]
    where = {"COMITY_SERVER": f"http://127.0.0.1:{port}", "COMITY_TOKEN": token}
    run = machine.run("--", "think", "a", "exit", "3", "1", "book", "7", environment=where)
    await wait_until(lambda: "exit code 3" in run.err, 30)
    server.kill()
    assert not [pid for pid in descendants(run.process.pid) if "--listen-fd" in command_of(pid)]
    machine.up(port)
    assert await run.code() == 0, run.err
    assert machine.upstream.asked == {"a": 1}
    assert effects(machine) == ["7"]


async def test_what_is_typed_and_printed_is_the_programs_own(machine: Machine) -> None:
    run = machine.run("--json", "--", "read", stdin="hello\n")
    assert await run.code() == 0, run.err
    answer = json.loads(run.out)
    assert (answer["state"], answer["exit_code"]) == ("succeeded", 0)
    assert run.err == "read hello\n"
    quiet = machine.run("-q", "--", "read", stdin="bye\n")
    assert await quiet.code() == 0
    assert (quiet.out, quiet.err) == ("read bye\n", "")


async def test_placeholders_and_passed_variables_reach_the_program(machine: Machine) -> None:
    run = machine.run(
        *("--env", "TOOLS={mcp}", "--env", "ONE={mcp:shop}/x", "--pass-env", "COLOUR", "--", "print", "TOOLS"),
        *("print", "ONE", "print", "COLOUR", "print", "SHADE", "print", "UPSTREAM_KEY", "print", "COMITY_TASK"),
        environment={"COLOUR": "blue", "SHADE": "dark"},
    )
    assert await run.code() == 0, run.err
    tools, one, colour, shade, key, task = run.out.splitlines()
    assert tools.startswith("http://127.0.0.1:")
    assert "/t/ct_" in tools
    assert one == f"{tools}/shop/x"
    assert (colour, shade, key) == ("blue", "not set", "not set")
    assert task.endswith(run.task)


async def test_a_program_writes_where_it_works_and_to_temporary_files_and_caches(machine: Machine) -> None:
    source = """
import os, pathlib, tempfile
pathlib.Path("made.txt").write_text("x")
pathlib.Path("made.txt").rename("moved.txt")
with tempfile.NamedTemporaryFile("w+") as file:
    file.write("x")
pathlib.Path(os.environ["HOME"], ".cache", "tool").mkdir()
"""
    run = machine.command("--", "python", "-c", source)
    assert await run.code() == 0, run.err
    assert (machine.work / "moved.txt").exists()


async def test_a_configuration_that_the_program_changes_is_not_read_again(machine: Machine) -> None:
    (machine.work / "comity.toml").write_text((machine.home / ".config/comity/comity.toml").read_text())
    change = (
        "import time; open('comity.toml', 'a').write('[policy]\\n'); print('changed', flush=True); time.sleep(1000)"
    )
    run = machine.command("--", "python", "-c", change)
    await run.said("changed")
    os.kill(run.node(), signal.SIGKILL)
    assert await run.code() == 2
    assert "comity.toml` was changed while the program ran" in run.err


async def test_a_node_that_cannot_come_up_says_why_and_nothing_is_started(machine: Machine) -> None:
    nowhere = {"COMITY_STORE__URL": "postgresql://127.0.0.1:1/none"}
    run = machine.run("--", "think", "a", environment=nowhere)
    assert await run.code() == 5, run.err
    assert run.err.count("error:") == 1
    assert machine.lives == []
