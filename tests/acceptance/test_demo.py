"""`make demo`, executed: without a terminal, with an answer given, without a repository to clone; and its tally."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLERK = ROOT / "examples" / "release_clerk"


def played(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demonstration without a terminal."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COMITY_", "OPENAI_", "DEMO_"))}
    return subprocess.run(
        [sys.executable, CLERK / "demo.py", *words],
        env=kept | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def counted(text: str) -> dict[str, tuple[int, int]]:
    """Return the table at the end: what was counted with Comity, and without."""
    rows = re.findall(r"^ *(\w[\w ]*?) {2,}(\d+) +(\d+) *$", text, re.MULTILINE)
    return {name: (int(mine), int(plain)) for name, mine, plain in rows}


def test_the_clerk_is_killed_four_times_and_does_everything_once() -> None:
    done = played("release")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"kill -9 \d+ +the (brain|hand|node)", done.stdout)) == 4
    assert "The webhook's own record says: 1 so far" in done.stdout
    assert "would read that record and answer yes" in done.stdout
    table = counted(done.stdout)
    assert {mine for mine, _ in table.values()} == {1}
    assert {name for name, (_, plain) in table.items() if plain > 1} == set(table)
    assert set(table) >= {"branches created", "tags", "slots booked", "announcements"}


def test_three_rational_agents_lose_the_database_uncoordinated_and_keep_it_coordinated() -> None:
    done = played("0217")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"✗ lost at step \d+; no log shows an error", done.stdout)
    assert re.search(r"✓ it held for \d+ steps", done.stdout)
    assert "by connections: " in done.stdout
    alone = dict(re.findall(r"^(\w[\w, ]*?) {2,}(safe|violated) ", done.stdout, re.MULTILINE))
    assert [agents for agents, came in alone.items() if came == "violated"] == ["performance, cost, routing"]
    assert len(alone) == 2**3
    assert "1  enforce `connections` over everything in flight" in done.stdout
    picture = re.search(r"as a picture: (.*)", done.stdout)
    assert picture is not None
    assert Path(picture[1]).read_text(encoding="utf-8").startswith("<svg")


def test_an_agent_of_another_framework_is_killed_after_its_booking_and_books_one_room() -> None:
    done = played("outside")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"kill -9 \d+ +the agent", done.stdout)) == 2
    assert counted(done.stdout) == {"rooms booked": (1, 2), "thoughts paid for": (3, 5)}


def test_a_preset_answer_settles_the_doubt_and_nothing_is_announced_again() -> None:
    done = played("release", DEMO_ANSWER="no")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DEMO_ANSWER says: no" in done.stdout
    assert counted(done.stdout)["announcements"][0] == 1


def test_in_a_terminal_a_person_settles_the_doubt() -> None:
    master, terminal = os.openpty()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COMITY_", "OPENAI_", "DEMO_"))}
    demo = subprocess.Popen(
        [sys.executable, CLERK / "demo.py", "release"],
        env=kept | {"COLUMNS": "80", "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.STDOUT,
    )
    os.close(terminal)
    text = ""
    with contextlib.suppress(OSError):  # the terminal's end
        while data := os.read(master, 65_536):
            text += data.decode(errors="replace")
            if "[yes/no" in text and "what?" not in text:
                os.write(master, b"what?\nyes\n")
    os.close(master)
    assert demo.wait(timeout=60) == 0, text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "yes or no?" in plain
    assert "(you)" in plain
    assert max(len(line) for line in plain.splitlines()) <= 80


def test_an_unknown_chapter_is_refused_with_those_that_are_known() -> None:
    done = played("nonsense")
    assert done.returncode == 2
    assert done.stderr == "demo: there is no chapter `nonsense`; known: 0217, outside, release\n"


def test_an_answer_that_is_neither_yes_nor_no_is_refused_before_anything_starts() -> None:
    done = played(DEMO_ANSWER="perhaps")
    assert done.returncode == 2
    assert "DEMO_ANSWER is `perhaps`" in done.stderr
    assert done.stdout == ""


def test_where_there_is_nothing_to_clone_a_sample_repository_is_built(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from repository import Repository, clone\n"
    code += "made = clone(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    code += "print(made, len(Repository(sys.argv[2]).history()['commits']))"
    empty = tmp_path / "empty"
    empty.mkdir()
    words = [sys.executable, "-c", code, empty, tmp_path / "made"]
    done = subprocess.run(words, cwd=CLERK, capture_output=True, text=True, check=True)
    assert done.stdout == "a sample repository 4\n"


def test_the_clerks_git_touches_no_repository_but_its_own(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from repository import Repository, sample\n"
    code += "sample(Path(sys.argv[1]))\n"
    code += "print(Repository(sys.argv[1]).git('rev-parse', '--absolute-git-dir'))"
    other = tmp_path / "other"
    words = [sys.executable, "-c", code, tmp_path / "made"]
    environment = os.environ | {"GIT_DIR": str(other), "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": str(other)}
    done = subprocess.run(words, cwd=CLERK, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path.resolve() / "made" / ".git")
    assert not other.exists()


class Desk:
    """A tally process and a way to ask it."""

    def __init__(self, record: Path) -> None:
        command = [sys.executable, CLERK / "tally.py", "--record", record]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = urlsplit(self.process.stdout.readline().strip()).netloc

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection(self.address, timeout=10)
        connection.request(method, path, json.dumps(body or {}), headers)
        answer = connection.getresponse()
        found = json.load(answer)
        connection.close()
        return answer.status, found

    def counts(self) -> tuple[int, int]:
        _, record = self.ask("GET", "/record")
        return len(record["bookings"]), len(record["announcements"])

    def end(self) -> None:
        self.process.communicate("", timeout=10)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a tally process, and end it."""
    made = Desk(tmp_path / "record.jsonl")
    yield made
    made.end()
    assert made.process.returncode == 0


def test_the_tally_counts_a_booking_key_once_and_each_announcement(desk: Desk) -> None:
    first = desk.ask("POST", "/bookings", {"release": "v1"}, **{"Idempotency-Key": "a"})
    again = desk.ask("POST", "/bookings", {"release": "v1"}, **{"Idempotency-Key": "a"})
    assert (first[0], again[0]) == (201, 200)
    assert first[1]["slot"] == again[1]["slot"]
    desk.ask("POST", "/bookings", {"release": "v1"}, **{"Idempotency-Key": "b"})
    desk.ask("POST", "/announcements", {"text": "v1"})
    desk.ask("POST", "/announcements", {"text": "v1"})
    assert desk.counts() == (2, 2)


def test_the_tally_refuses_a_booking_without_a_key(desk: Desk) -> None:
    assert desk.ask("POST", "/bookings", {"release": "v1"})[0] == 400
    assert desk.counts() == (0, 0)


def test_the_tallys_record_outlives_its_process(tmp_path: Path) -> None:
    first = Desk(tmp_path / "record.jsonl")
    first.ask("POST", "/announcements", {"text": "v1"})
    first.process.kill()
    first.end()
    second = Desk(tmp_path / "record.jsonl")
    assert second.counts() == (0, 1)
    second.end()
