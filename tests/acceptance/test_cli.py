"""The command line as people and scripts use it: processes, signals, a terminal, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

PATIENCE_S = 60
COMMAND = [sys.executable, "-m", "comity"]
AGENTS = '''"""A clerk whose charges are counted in a file."""
import os
from pathlib import Path

from comity import Context, agent, tool
from comity.testing import ScriptedModel

mind = ScriptedModel({"": "The order is charged."})
LEDGER = Path(__file__).with_name("ledger.txt")


@tool(effect="irreversible")
def charge(order: int) -> dict:
    """Charge an order."""
    print("charging order", order)
    with LEDGER.open("a") as ledger:
        ledger.write(f"{order}\\n")
    return {"id": f"ch_{order}"}


@tool(effect="irreversible")
def breaks() -> str:
    """Be cut off."""
    raise OSError("connection reset")


@agent(model=mind, tools=[charge, breaks])
async def clerk(context: Context) -> str:
    """Charge, then do what the goal says."""
    await context.act(charge, order=7)
    if "wait" in context.goal:
        await context.wait_signal("approved")
    if "ask" in context.goal:
        return f"they said {await context.ask_human('Ship it?', options=['yes', 'no'])}"
    if "doubt" in context.goal:
        await context.act(breaks)
    if "fail" in context.goal:
        raise ValueError("no such order")
    return (await context.think("Tell what happened")).text
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an agent file and room for a store."""
    (tmp_path / "clerk.py").write_text(AGENTS, encoding="utf-8")
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMITY_", "OPENAI_"))}
    ours = {"COMITY_HOME": str(folder / "home"), "COMITY_SERVER__PORT": "0"}
    return {**kept, "HOME": str(folder), **ours, "PYTHONUNBUFFERED": "1"}


def comity(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@contextlib.contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command; it is killed when the test is done with it, or has waited too long."""
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


def heard(stream: IO[str] | None, text: str) -> str:
    """Read lines until one holds `text`, and return it."""
    assert stream is not None
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if text in line:
            return line
    raise AssertionError(f"`{text}` was never written: {''.join(lines)}")


def ledger(folder: Path) -> list[str]:
    return (folder / "ledger.txt").read_text(encoding="utf-8").split()


def newest(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(comity(folder, "tasks", "ls", "--json").stdout)["tasks"][0]
    return found


def test_run_is_the_node_where_none_is_up_and_prints_the_result_alone_on_stdout(folder: Path) -> None:
    result = comity(folder, "run", "clerk.py", "--goal", "charge")
    assert (result.returncode, result.stdout) == (0, "The order is charged.\n")
    assert "→ charge(order=7)" in result.stderr
    assert "charging order 7" in result.stderr
    assert '✓ charge {"id":"ch_7"}' in result.stderr
    assert "succeeded" in result.stderr
    assert ledger(folder) == ["7"]


@pytest.mark.parametrize(
    ("goal", "code", "words"),
    [
        ("fail", 1, ["ValueError: no such order", "comity tasks retry"]),
        ("doubt", 4, ["nobody knows whether it happened", "comity tasks resolve", "--not-happened"]),
    ],
)
def test_the_exit_code_tells_how_the_task_stands_and_the_last_lines_what_to_type(
    folder: Path, goal: str, code: int, words: list[str]
) -> None:
    result = comity(folder, "run", "clerk.py", "--goal", goal)
    assert result.returncode == code
    assert all(word in result.stderr + result.stdout for word in words)
    assert "Traceback" not in result.stdout


def test_a_doubt_is_resolved_by_a_person_and_the_task_goes_on(folder: Path) -> None:
    assert comity(folder, "run", "clerk.py", "--goal", "doubt").returncode == 4
    task = newest(folder)["id"][-8:]
    (call,) = json.loads(comity(folder, "tasks", "show", task, "--json").stdout)["in_doubt"]
    assert comity(folder, "tasks", "resolve", task, str(call), "--happened", "--result", '"ok"').returncode == 0
    result = comity(folder, "run", "--task", task, "--quiet")
    assert (result.returncode, result.stdout) == (0, "The order is charged.\n")
    assert ledger(folder) == ["7"]


def test_ctrl_c_leaves_the_task_resumable_and_says_how(folder: Path) -> None:
    with started(folder, "run", "clerk.py", "--goal", "wait") as process:
        heard(process.stderr, "signal approved is waited for")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    task = newest(folder)["id"][-8:]
    assert process.returncode == 130
    assert f"comity run --task {task}" in output + errors
    assert comity(folder, "tasks", "signal", task, "approved", '{"by": "ada"}').returncode == 0
    result = comity(folder, "run", "--task", task)
    assert (result.returncode, result.stdout) == (0, "The order is charged.\n")
    assert ledger(folder) == ["7"]


def test_a_command_that_is_killed_loses_nothing_and_repeats_nothing(folder: Path) -> None:
    with started(folder, "run", "clerk.py", "--goal", "wait", "--dedupe", "order-7") as process:
        heard(process.stderr, "signal approved is waited for")
        process.kill()
        process.communicate()
    task = newest(folder)["id"]
    comity(folder, "tasks", "signal", task, "approved")
    result = comity(folder, "run", "clerk.py", "--goal", "wait", "--dedupe", "order-7")
    assert (result.returncode, result.stdout) == (0, "The order is charged.\n")
    assert newest(folder)["id"] == task
    assert ledger(folder) == ["7"]


def test_where_a_node_is_up_run_only_creates_and_follows(folder: Path) -> None:
    with started(folder, "up", "--log-format", "json") as node:
        line = json.loads(heard(node.stderr, "is up on"))
        result = comity(folder, "run", "clerk.py", "--goal", "charge", "--json")
        done = json.loads(result.stdout)
        assert result.returncode == 0
        assert done["result"] == "The order is charged."
        assert done["node"] in line["message"]
        detached = comity(folder, "run", "clerk.py", "--goal", "wait", "--detach")
        follow = comity(folder, "tasks", "cancel", detached.stdout.strip())
        assert "no node is up" not in follow.stderr
        tail = comity(folder, "tasks", "tail", detached.stdout.strip(), "-f")
        assert "cancelled" in tail.stdout.splitlines()[-1]
        node.send_signal(signal.SIGTERM)
        _, errors = node.communicate()
    assert node.returncode == 0
    assert all(json.loads(text)["level"] for text in errors.splitlines())


def test_up_registers_the_agents_of_the_configuration_and_works_on_what_is_there(folder: Path) -> None:
    (folder / "comity.toml").write_text('[agents.clerk]\nfile = "clerk.py"\n', encoding="utf-8")
    made = comity(folder, "run", "clerk.py", "--goal", "charge", "--detach")
    assert "no node is up" in made.stderr
    with started(folder, "up"):
        tail = comity(folder, "tasks", "tail", made.stdout.strip(), "-f")
        (agent,) = json.loads(comity(folder, "agents", "ls", "--json").stdout)["agents"]
    assert "succeeded The order is charged." in tail.stdout.splitlines()[-1]
    assert agent["name"] == "clerk"


def test_a_question_is_answered_right_in_the_terminal(folder: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", "clerk.py", "--goal", "ask"],
        cwd=folder,
        env={**environment(folder), "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.start()
    said, is_asked = "", False
    with contextlib.suppress(OSError):  # the terminal's end, once nobody holds its other side
        while piece := os.read(ours, 4096):
            said += piece.decode(errors="replace")
            if not is_asked and "answer: " in said:
                is_asked = True
                os.write(ours, b"2\n")
    os.close(ours)
    code = process.wait()
    timer.cancel()
    assert (code, is_asked) == (0, True)
    assert "Ship it?" in said
    assert "they said no" in said


def test_a_second_ctrl_c_quits_at_once_and_the_task_goes_on_later(folder: Path) -> None:
    slow = AGENTS.replace(
        'print("charging order", order)', 'print("charging order", order); __import__("time").sleep(9)'
    )
    (folder / "clerk.py").write_text(slow, encoding="utf-8")
    with started(folder, "run", "clerk.py", "--goal", "charge") as process:
        heard(process.stderr, "charging order 7")
        process.send_signal(signal.SIGINT)
        heard(process.stderr, "Ctrl-C again quits")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    result = comity(folder, "run", "--task", newest(folder)["id"])
    assert result.returncode == 4
    assert not (folder / "ledger.txt").exists()


def test_version_loads_little(folder: Path) -> None:
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "comity", "version"],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in loaded.splitlines()}
    heavy = {"asyncio", "rich", "apsw", "msgspec", "psycopg", "comity.runtime", "comity.kernel"}
    assert "comity.cli.main" in names
    assert not names & heavy


def test_the_output_may_be_cut_by_the_reader(folder: Path) -> None:
    comity(folder, "run", "clerk.py", "--goal", "charge", "--detach")
    with started(folder, "tasks", "ls", "--json", "--limit", "5") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_run_becomes_the_node_where_the_one_that_did_the_work_is_gone(folder: Path) -> None:
    with started(folder, "up") as node:
        heard(node.stderr, "is up on")
        with started(folder, "run", "clerk.py", "--goal", "wait") as follower:
            heard(follower.stderr, "signal approved is waited for")
            node.kill()
            heard(follower.stderr, "this command is the node now")
            comity(folder, "tasks", "signal", newest(folder)["id"], "approved")
            output, _ = follower.communicate()
    assert (follower.returncode, output) == (0, "The order is charged.\n")
    assert ledger(folder) == ["7"]
