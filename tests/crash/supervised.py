"""A user's machine for `comity run --`: a home, a folder to work in, a model upstream, a tool file, and a tally."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from comity.testing.waiting import wait_until
from tally.client import VARIABLE, Tally, TallyProcess

TESTS = Path(__file__).parents[1]
OUTSIDE = TESTS / "crash" / "outside.py"
KEY = "sk-the-key-of-the-upstream"
CONFIG = """
[server]
tool_files = ["{tests}/conformance/hotel.py"]

[node]
lease_s = 3.0
lease_margin_s = 0.5
permit_s = 1.0
linger_s = 0.05
drain_s = 5.0
hand_env = ["{tally}", "PYTHONPATH"]

[upstreams.fake]
base_url = "http://127.0.0.1:{port}/v1"
api_key_env = "UPSTREAM_KEY"

[models.gpt-test]
upstream = "fake"
model = "gpt-test"
"""


TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
"""A program that starts another in a terminal of its own; what it reads is typed there."""


class Upstream(ThreadingHTTPServer):
    """A model that answers each word with its echo, and counts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: Counter[str] = Counter()
        self.keys: set[str] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        word = body["messages"][-1]["content"]
        self.server.asked[word] += 1
        self.server.keys.add(self.headers["authorization"])
        message = {"role": "assistant", "content": f"thought {word}"}
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "gpt-test",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Machine:
    """One user's machine."""

    def __init__(self, folder: Path, upstream: Upstream, tally: Tally) -> None:
        self.folder = folder.resolve()
        self.home = self.folder / "ada"
        self.work = self.folder / "work"
        self.upstream = upstream
        self.tally = tally
        self.runs: list[Run] = []
        for place in (self.home / ".config" / "comity", self.work):
            place.mkdir(parents=True)
        text = CONFIG.format(tests=TESTS, tally=VARIABLE, port=upstream.server_port)
        (self.home / ".config" / "comity" / "comity.toml").write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        """Return what the user's shell has."""
        strays = ("COMITY_", "OPENAI_", "ANTHROPIC_", "PYTHONPATH", "XDG_")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(strays)},
            "HOME": str(self.home),
            "UPSTREAM_KEY": KEY,
            VARIABLE: str(self.tally.port),
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "src")]),
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *words: str, **more: Any) -> Run:
        """Start `comity run OPTIONS -- python outside.py STEPS`; the words are options, `--`, and steps."""
        at = words.index("--")
        return Run(self, [*words[: at + 1], sys.executable, str(OUTSIDE), *words[at + 1 :]], **more)

    def command(self, *words: str, **more: Any) -> Run:
        """Start `comity run` with any command."""
        return Run(self, list(words), **more)

    def comity(self, *words: str) -> Any:
        """Return the JSON that a command answers."""
        done = subprocess.run(
            [sys.executable, "-m", "comity", *words, "--json"],
            env=self.environment,
            cwd=self.work,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return json.loads(done.stdout)

    def up(self, port: int) -> Run:
        """Start `comity up` on a port."""
        return Run(self, ["--port", str(port)], name="up")

    @property
    def lives(self) -> list[int]:
        """Return the pids of the program's lives."""
        file = self.work / "lives"
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


class Run:
    """A supervisor that was started; its output lies in files."""

    def __init__(
        self,
        machine: Machine,
        words: list[str],
        *,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        main: str = "from comity.cli.main import main; main()",
        has_terminal: bool = False,
        name: str = "run",
    ) -> None:
        count = len(list(machine.folder.glob("out-*")))
        self._out, self._err = machine.folder / f"out-{count}", machine.folder / f"err-{count}"
        terminal = [sys.executable, "-c", TERMINAL] if has_terminal else []
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*terminal, sys.executable, "-c", main, name, *words],
                env={**machine.environment, **(environment or {})},
                cwd=machine.work,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
            )
        machine.runs.append(self)
        self.type(stdin.encode())
        if not has_terminal:
            self.process.stdin.close()  # type: ignore[union-attr]

    @property
    def out(self) -> str:
        """Return what the program printed, and the answer."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """Return what the supervisor said."""
        return self._err.read_text()

    @property
    def task(self) -> str:
        """Return the short id of its task."""
        return self.err.partition("task ")[2].split()[0]

    async def code(self, seconds: float = 60.0) -> int:
        """Return its exit code, once it has ended."""
        await wait_until(lambda: self.process.poll() is not None, seconds, f"an end of: {self.err}")
        return int(self.process.returncode)

    async def said(self, text: str, seconds: float = 30.0) -> None:
        """Return once the program has printed `text`."""
        await wait_until(lambda: text in self.out, seconds, f"`{text}`; {self.out} {self.err}")

    def send(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def type(self, data: bytes) -> None:
        """Type something."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it, and all that it started, at once."""
        for pid in (*descendants(self.process.pid), self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    def node(self) -> int:
        """Return the pid of its node."""
        return next(pid for pid in descendants(self.process.pid) if "--listen-fd" in command_of(pid))


@contextmanager
def user(folder: Path) -> Iterator[Machine]:
    """Give a machine, and end with it what was started on it."""
    with Upstream() as upstream, TallyProcess(folder / "tally") as tally:
        machine = Machine(folder, upstream, tally)
        try:
            yield machine
        finally:
            for run in machine.runs:
                run.kill()


def command_of(pid: int) -> list[str]:
    """Return a process's command line; nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """Return the pids of what a process started, and what that started."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found
