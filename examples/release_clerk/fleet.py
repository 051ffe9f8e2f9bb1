"""The node of the demonstration: `comity up` as a process of its own, watched by its log, killed by the pids in it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

PID = re.compile(r"\b(brain|hand) ([0-9a-f-]{36}) has pid (\d+)")
IS_UP = re.compile(r"\bnode [0-9a-f-]{36} is up\b")
COMMAND = (sys.executable, "-m", "comity")
SETTINGS = """\
[node]
hand_env = ["RELEASE_REPOSITORY", "RELEASE_DESK"]
"""


class CommandFailed(Exception):
    """A command of Comity ended with an error; the message is what it said."""


class Fleet:
    """A fresh COMITY_HOME, and the one node process that works on its store."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Lay out the home; start nothing."""
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        config = folder / "comity.toml"
        config.write_text(SETTINGS, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COMITY_")}
        self._environment = {**kept, **environment, "COMITY_HOME": str(self.home), "COMITY_CONFIG": str(config)}
        self._log_path = folder / "node.log"
        self._log: IO[str] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def store_url(self) -> str:
        """Return the store of this home."""
        return f"sqlite:///{self.home / 'comity.db'}"

    @property
    def pid(self) -> int:
        """Return the node's pid, 0 where none runs."""
        return self._node.pid if self._node is not None else 0

    def start(self) -> None:
        """Start a node."""
        self._log_path.write_text("", encoding="utf-8")
        with self._log_path.open("ab") as log:
            command = [*COMMAND, "up", "--port", "0", "--log-level", "info"]
            self._node = subprocess.Popen(
                command, env=self._environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def is_up(self) -> bool:
        """Tell whether the node takes tasks.

        Raises:
            CommandFailed: It ended instead.
        """
        self.check()
        return IS_UP.search(self.log()) is not None

    def check(self) -> None:
        """Make sure that the node lives.

        Raises:
            CommandFailed: It ended by itself.
        """
        if self._node is not None and self._node.poll() is not None:
            raise CommandFailed(f"the node ended with {self._node.returncode}:\n{self.log()[-2_000:]}")

    def log(self) -> str:
        """Return what the node has logged."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def pid_of(self, role: str, task: str) -> int:
        """Return the pid of a task's brain or hand, as the node's log told it last; 0 where it has none."""
        found = [int(pid) for what, whose, pid in PID.findall(self.log()) if what == role and whose == task]
        return found[-1] if found else 0

    def kill(self, role: str, task: str) -> int:
        """End brain, hand or node with SIGKILL, and return the pid that it had."""
        if role == "node":
            pid = self.pid
            self.end()
            return pid
        pid = self.pid_of(role, task)
        if not pid:
            raise CommandFailed(f"the node's log names no {role} of task {task}:\n{self.log()[-2_000:]}")
        os.kill(pid, signal.SIGKILL)
        return pid

    def end(self) -> None:
        """End the node with SIGKILL; brains and hands end with it."""
        if self._node is not None:
            self._node.kill()
            self._node.wait()
            self._node = None

    def comity(self, *words: str) -> Any:
        """Run a command of Comity and return the JSON that it answers.

        Raises:
            CommandFailed: It ended with an error.
        """
        done = subprocess.run(
            [*COMMAND, *words, "--json"],
            env=self._environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(f"comity {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2_000:]}")
        return json.loads(done.stdout) if done.stdout.strip() else None
