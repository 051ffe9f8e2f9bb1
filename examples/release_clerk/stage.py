"""A stage of the demonstration: one repository and one tally, with a gate behind each effect.

A closed gate lets the effect happen and holds back its answer, so that whoever asked can be killed exactly in between.
The tally has its own gates; for git it is a `reference-transaction` hook that waits on a named pipe after a ref has
moved. The agent file knows of neither.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from repository import Repository, clone

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
HOOK = """\
#!/bin/sh
[ "$1" = committed ] || exit 0
while read -r old new ref; do
    case $ref in
        refs/heads/release/*) gate={gates}/branch ;;
        refs/tags/*) gate={gates}/tag ;;
        *) continue ;;
    esac
    if [ -p "$gate" ]; then
        : > "$gate.reached"
        read -r word < "$gate"
    fi
done
"""
OF_GIT = ("branch", "tag")


class Stage:
    """A folder with the repository, the tally's record and the gates; `with` ends what it started."""

    def __init__(self, folder: Path, source: Path = SOURCE) -> None:
        """Build it."""
        self.folder = folder
        self.repository = Repository(folder / "repository")
        self.made_of = clone(source, self.repository.folder)
        self._gates = folder / "gates"
        self._gates.mkdir()
        hook = self.repository.folder / ".git" / "hooks" / "reference-transaction"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK.format(gates=self._gates), encoding="utf-8")
        hook.chmod(0o755)
        self._before = self._refs()
        command = [sys.executable, str(HERE / "tally.py"), "--record", str(folder / "tally.jsonl")]
        self._tally = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._tally.stdout is not None
        self.desk = self._tally.stdout.readline().strip()
        if not self.desk:
            raise RuntimeError("the tally did not start")

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Open all gates, end the tally."""
        for gate in OF_GIT:
            self.open(gate)
        self._tally.kill()
        self._tally.communicate()

    @property
    def environment(self) -> dict[str, str]:
        """Return what the clerk's tools look for."""
        return {"RELEASE_REPOSITORY": str(self.repository.folder), "RELEASE_DESK": self.desk}

    def close(self, gate: str) -> None:
        """Hold back the answers of an effect from now on."""
        if gate in OF_GIT:
            self._gates.joinpath(f"{gate}.reached").unlink(missing_ok=True)
            os.mkfifo(self._gates / gate)
        else:
            self._ask("PUT", f"/gates/{gate}", {"closed": True})

    def open(self, gate: str) -> None:
        """Let them pass again, those that wait too."""
        if gate not in OF_GIT:
            self._ask("PUT", f"/gates/{gate}", {"closed": False})
            return
        pipe = self._gates / gate
        if pipe.exists():
            with contextlib.suppress(OSError):  # nobody waits
                held = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                os.write(held, b"go\n")
                os.close(held)
            pipe.unlink()

    def is_reached(self, gate: str) -> bool:
        """Tell whether an effect has happened whose answer is held back."""
        if gate in OF_GIT:
            return self._gates.joinpath(f"{gate}.reached").exists()
        return bool(self.record()["waiting"][gate])

    def record(self) -> dict[str, Any]:
        """Return the tally's own record."""
        return self._ask("GET", "/record")

    def counts(self) -> dict[str, int]:
        """Return how often each effect happened: git's word and the tally's."""
        made = self._refs() - self._before
        branches = [name for name in made if name.startswith("refs/heads/release/")]
        words = ["log", "--format=%H", "--grep=^Add the notes of v", *branches, f"^{self.repository.commit_of('HEAD')}"]
        record = self.record()
        return {
            "branches": len(branches),
            "commits": len(self.repository.git(*words).split()) if branches else 0,
            "tags": len([name for name in made if name.startswith("refs/tags/")]),
            "bookings": len(record["bookings"]),
            "announcements": len(record["announcements"]),
        }

    def _refs(self) -> set[str]:
        return set(self.repository.git("for-each-ref", "--format=%(refname)").split())

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        desk = HTTPConnection(urlsplit(self.desk).netloc, timeout=10)
        try:
            desk.request(method, path, json.dumps(body or {}), {"Content-Type": "application/json"})
            found: dict[str, Any] = json.load(desk.getresponse())
            return found
        finally:
            desk.close()
