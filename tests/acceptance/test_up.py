"""`comity up` as people and supervisors use it: where it listens, whom it tells its token, how it drains."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

COMMAND = [sys.executable, "-m", "comity"]
PATIENCE_S = 60
AGENT = '''"""An agent that waits."""
from comity import Context, agent


@agent
async def waiter(context: Context) -> str:
    """Wait for the word."""
    return await context.wait_signal("go")
'''


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMITY_", "OPENAI_"))}
    return {**kept, "HOME": str(folder), "COMITY_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def up(
    folder: Path, *words: str, listening: socket.socket | None = None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run `comity up` as its supervisor; give it, and what it announced."""
    reader, writer = os.pipe()
    fds = [writer]
    if listening is None:
        words = ("--port", "0", *words)
    else:
        fds.append(listening.fileno())
        words = ("--listen-fd", str(listening.fileno()), *words)
    process = subprocess.Popen(
        [*COMMAND, "up", "--announce-fd", str(writer), *words],
        cwd=folder,
        env=environment(folder),
        pass_fds=fds,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as announced:
            line = announced.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def client(told: dict[str, str]) -> httpx2.Client:
    """Return a client of a node, by what it announced."""
    return httpx2.Client(base_url=told["url"], headers={"Authorization": f"Bearer {told['token']}"}, timeout=PATIENCE_S)


def ended(process: subprocess.Popen[str]) -> str:
    """Have a node drain, and return what it wrote."""
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 0, errors
    return errors


def test_a_supervisor_is_told_a_token_that_stands_nowhere(tmp_path: Path) -> None:
    with up(tmp_path) as (process, told):
        with client(told) as api:
            assert api.get("/api/v1/tasks").json() == {"tasks": [], "has_more": False}
            assert api.get("/readyz").status_code == 200
            (node,) = api.get("/api/v1/node").json()["nodes"]
            assert node["url"] == told["url"]
        for name in ("cmdline", "environ"):
            with contextlib.suppress(PermissionError):  # the node hides from its neighbours
                assert told["token"].encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
        errors = ended(process)
    assert told["token"] not in errors
    assert "operator token" not in errors
    for file in (tmp_path / "home").rglob("*"):
        if file.is_file():
            assert told["token"].encode() not in file.read_bytes()


def test_a_task_is_created_and_steered_over_http(tmp_path: Path) -> None:
    (tmp_path / "waiter.py").write_text(AGENT, encoding="utf-8")
    with up(tmp_path, "waiter.py") as (process, told), client(told) as api:
        task = api.post("/api/v1/tasks", json={"agent": "waiter", "goal": "wait"}).json()["id"]
        api.post(f"/api/v1/tasks/{task}/signal", json={"name": "go", "value": "now"})
        while (page := api.get(f"/api/v1/tasks/{task}/events?wait=20").json())["events"][-1]["event"] != "end":
            assert page["events"]
        shown = api.get(f"/api/v1/tasks/{task}").json()
        assert (shown["state"], shown["result"]) == ("succeeded", "now")
        counted = api.get("/metrics").text
        assert 'comity_calls_total{kind="signal",status="done"} 1.0' in counted
        api.close()
        ended(process)


def test_a_socket_that_a_supervisor_keeps_outlives_the_node(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with up(tmp_path, listening=listening) as (process, told):
            assert told["url"] == f"http://127.0.0.1:{listening.getsockname()[1]}"
            process.kill()
            process.wait()
        with up(tmp_path, listening=listening) as (process, again):
            assert again["url"] == told["url"]
            assert again["token"] != told["token"]
            with client(told) as api:
                assert api.get("/api/v1/tasks").json()["code"] == "unknown_token"
            with client(again) as api:
                assert api.get("/api/v1/tasks").status_code == 200


def test_the_first_token_is_shown_once_at_the_terminal(tmp_path: Path) -> None:
    shown = [at_terminal(tmp_path) for _ in range(2)]
    (token,) = re.findall(r"export COMITY_TOKEN=(co_[\w-]+)", shown[0])
    assert "co_" not in shown[1]
    listed = subprocess.run(
        [*COMMAND, "token", "ls", "--json"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=True
    )
    assert [item["name"] for item in json.loads(listed.stdout)["tokens"]] == ["first"]
    assert token.encode() not in listed.stdout


def at_terminal(folder: Path) -> str:
    """Run a node at a terminal until it listens, and return what stood there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "up", "--port", "0"],
        cwd=folder,
        env={**environment(folder), "TERM": "dumb", "COLUMNS": "200"},
        stderr=theirs,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
    )
    os.close(theirs)
    seen, is_told = "", False
    with contextlib.suppress(OSError):  # the terminal of a process that has ended
        while True:
            seen += os.read(ours, 65_536).decode(errors="replace")
            if "a second one quits" in seen and not is_told:
                is_told = True
                process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0, seen
    os.close(ours)
    return seen


def test_a_log_is_no_place_for_a_token(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "up", "--port", "0"], cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "a second one quits" in line:
            process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0, lines
    process.stderr.close()
    assert "co_" not in "".join(lines)
    assert any("comity token new" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--host", "0.0.0.0", "--port", "0"), "behind_proxy = true"),
        (("--listen-fd", "77"), "descriptor `77` is no socket"),
        (("--announce-fd", "77", "--port", "0"), "descriptor `77`"),
        (("--port", "70000"), "70000"),
    ],
)
def test_a_node_that_may_or_can_not_listen_says_so(tmp_path: Path, words: tuple[str, ...], text: str) -> None:
    result = subprocess.run(
        [*COMMAND, "up", *words], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert text in result.stderr
    assert "Traceback" not in result.stderr
