"""Bad input: each ends with a clear sentence, a way out and its exit code, never with a stack trace."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import apsw
import pytest

from comity.cli.exits import Exit
from comity.core.limits import GOAL_BYTES_MAX
from comity.stores import sqlite


@pytest.mark.parametrize(
    ("words", "code", "error", "hint"),
    [
        (["tsks"], Exit.USAGE, "there is no command `comity tsks`", "did you mean `tasks`?"),
        (["tasks", "lst"], Exit.USAGE, "there is no command `comity tasks lst`", "did you mean"),
        (["tasks", "ls", "--limt", "3"], Exit.USAGE, "no such option `--limt`", "--limit"),
        (["tasks", "ls", "--state", "busy"], Exit.USAGE, "`busy` is not one of", "--help"),
        (["tasks", "show"], Exit.USAGE, "missing argument `TASK`", "comity tasks show --help"),
        (["tasks", "ls", "--store", "mysql://x"], Exit.USAGE, "unknown kind of store `mysql`", "sqlite"),
        (["tasks", "ls", "--store", "comity.db"], Exit.USAGE, "unknown kind of store", "sqlite:////"),
        (["tasks", "ls"], Exit.STORE, "there is no store at", "comity up"),
        (["tasks", "ls", "--config", "gone.toml"], Exit.NOT_FOUND, "`gone.toml`, named by --config", "comity init"),
        (["run", "clerk.py"], Exit.USAGE, "give `--goal`", "--goal"),
        (["run", "--goal", "x"], Exit.USAGE, "no agent file was named", "clerk.py"),
        (["run", "clerc.py", "--goal", "x"], Exit.NOT_FOUND, "agent file `clerc.py` is not there", "`clerk.py`"),
        (["run", "clerk.py:clrk", "--goal", "x"], Exit.NOT_FOUND, "no agent `clrk`", "did you mean `clerk`?"),
        (["run", "clerk.py", "--goal", "x", "--budget", "usd=-1"], Exit.USAGE, "`usd` must not be negative", "leave"),
        (["run", "clerk.py", "--goal", "x", "--budget", "usd=nan"], Exit.USAGE, "not `nan`", "leave"),
        (["run", "clerk.py", "--goal", "x", "--budget", "usd"], Exit.USAGE, "`usd` is no limit", "--budget usd=1"),
        (["run", "clerk.py", "--goal", "x", "--budget", "usdd=1"], Exit.USAGE, "unknown limit `usdd`", "`usd`"),
        (["run", "clerk.py", "--goal", "x", "--budget", "tokens=1.5"], Exit.USAGE, "whole number, not `1.5`", "usd=1"),
        (["run", "clerk.py", "--goal", "x", "--budget", "calls.evil=1"], Exit.USAGE, "unknown limit `calls.evil`", ""),
        (["run", "clerk.py", "--goal", "x", "--allow", "pay"], Exit.USAGE, "declares no tool `pay`", "charge"),
        (["run", "clerk.py", "--goal-json", '{"a": 1, "a": 2}'], Exit.USAGE, "duplicate key `a`", "each key once"),
        (
            ["run", "clerk.py", "--goal", "x", "--model", "big"],
            Exit.NOT_FOUND,
            "no model `big` is configured",
            "[models",
        ),
        (["run", "clerk.py", "--goal-json", "NaN"], Exit.USAGE, "`NaN` is not a JSON number", "JSON"),
        (["run", "clerk.py", "--goal-json", "{"], Exit.USAGE, "`{` is not JSON", "quotes"),
        (["run", "clerk.py", "--task", "abcd1234"], Exit.USAGE, "`--task` goes on with a task", "leave FILE"),
        (["stop"], Exit.USAGE, "no scope was named", "agent:clerk"),
        (["store", "prune", "--ended", "soon"], Exit.USAGE, "`soon` is no length of time", "90d"),
        (["store", "restore", "gone.db"], Exit.NOT_FOUND, "backup `gone.db` is not there", "path"),
        (["store", "backup", "b.db"], Exit.STORE, "there is no store at", ""),
        (["completion", "tcsh"], Exit.USAGE, "`tcsh` is not one of", ""),
    ],
)
def test_bad_input_gets_a_clear_error(comity, clerk: Path, words: list[str], code: Exit, error: str, hint: str) -> None:
    result = comity(*words)
    lines = result.stderr.splitlines()
    assert result.exit_code == code, result.stderr
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert not hint or (lines[1].startswith("hint: ") and hint in lines[1])
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["tasks", "show", "ffffffff"], Exit.NOT_FOUND, "there is no task `ffffffff`"),
        (["tasks", "show", "00000000-0000-7000-8000-000000000000"], Exit.NOT_FOUND, "there is no task"),
        (["tasks", "show", "x"], Exit.USAGE, "`x` is not the id of a task"),
        (["tasks", "fork", "{done}", "--at", "99"], Exit.NOT_FOUND, "has no entry `99`"),
        (["tasks", "fork", "{done}", "--at", "2", "--live"], Exit.USAGE, "a live fork could repeat effects"),
        (["tasks", "fork", "{done}", "--goal", "x" * (GOAL_BYTES_MAX + 1)], Exit.USAGE, "the goal has"),
        (["tasks", "resolve", "{done}", "3", "--happened"], Exit.USAGE, "not in doubt"),
        (["tasks", "resolve", "{doubt}", "99", "--again"], Exit.USAGE, "does not exist, not in doubt"),
        (["tasks", "resolve", "{doubt}", "3"], Exit.USAGE, "call `3`: say how it ended"),
        (["tasks", "resolve", "{doubt}", "3", "--again", "--result", "1"], Exit.USAGE, "`--result` goes with"),
        (["tasks", "resolve", "{doubt}", "3", "--happened", "--result", "{{"], Exit.USAGE, "is not JSON"),
        (["tasks", "resume", "{done}"], Exit.USAGE, "is succeeded, not parked"),
        (["tasks", "resume", "{doubt}", "--budget", "usd=-1"], Exit.USAGE, "must not be negative"),
        (["tasks", "retry", "{fail}"], Exit.USAGE, "a retry is `--redo` or `--rethink`"),
        (["tasks", "retry", "{done}", "--redo"], Exit.USAGE, "not failed"),
        (["tasks", "signal", "{ask}", "go", '{{"a": 1, "a": 2}}'], Exit.USAGE, "duplicate key `a`"),
        (["tasks", "signal", "{ask}", "go", "[NaN]"], Exit.USAGE, "`NaN` is not a JSON number"),
        (["tasks", "signal", "{done}", "go"], Exit.USAGE, "has succeeded"),
        (["tasks", "diff", "{done}"], Exit.USAGE, "is no fork of another"),
        (["questions", "answer", "{ask}", "maybe"], Exit.USAGE, "`maybe` is no option"),
        (["questions", "answer", "{done}", "yes"], Exit.NOT_FOUND, "has no open question"),
        (["sessions", "show", "bob"], Exit.NOT_FOUND, "has no session `bob`"),
        (["stop", "planet"], Exit.USAGE, "`planet` is not a scope"),
        (["stop", "task:ffffffff"], Exit.NOT_FOUND, "there is no task `ffffffff`"),
        (["stop", "agent:clerk", "--lift"], Exit.NOT_FOUND, "`agent:clerk` is not stopped"),
        (["store", "prune", "--ended", "1d"], Exit.USAGE, "deleting tasks needs a yes"),
    ],
)
def test_orders_that_cannot_be_get_a_clear_error(
    comity, tasks: dict[str, str], words: list[str], code: Exit, error: str
) -> None:
    result = comity(*(word.format_map({**tasks}) for word in words))
    assert result.exit_code == code, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert error in errors[0]


def test_an_id_that_fits_several_tasks_names_them(comity, tasks: dict[str, str]) -> None:
    result = comity("tasks", "show", tasks["done"][:4])
    assert result.exit_code == Exit.USAGE
    assert "fits 5 tasks" in result.stderr
    assert tasks["fail"] in result.stderr


def test_an_agent_file_with_a_syntax_error_is_told_with_file_and_line(comity, folder: Path) -> None:
    (folder / "broken.py").write_text("x = 1\ndef f(:\n", encoding="utf-8")
    result = comity("run", "broken.py", "--goal", "x")
    assert result.exit_code == Exit.USAGE
    assert "broken.py:2: " in result.stderr


def test_an_agent_file_that_raises_is_told_with_file_and_line(comity, folder: Path) -> None:
    (folder / "broken.py").write_text("import comity\nraise RuntimeError('no')\n", encoding="utf-8")
    result = comity("agents", "register", "broken.py")
    assert result.exit_code == Exit.USAGE
    assert "broken.py:2: RuntimeError: no" in result.stderr


def test_a_goal_that_is_too_large_is_refused_before_anything_is_created(comity, clerk: Path) -> None:
    result = comity("run", "clerk.py", "--goal", "-", "--detach", stdin="x" * (GOAL_BYTES_MAX + 1))
    assert result.exit_code == Exit.USAGE
    assert "the goal has" in result.stderr
    assert json.loads(comity("tasks", "ls", "--json").stdout)["tasks"] == []


def test_an_unknown_key_of_the_configuration_is_told_with_its_line(comity, folder: Path) -> None:
    (folder / "comity.toml").write_text("[node]\nworker = 3\n", encoding="utf-8")
    result = comity("config", "show")
    assert result.exit_code == Exit.USAGE
    assert "unknown key `node.worker` (comity.toml:2)" in result.stderr
    assert "did you mean `workers`?" in result.stderr


def test_a_store_that_a_newer_comity_wrote_is_refused(comity, folder: Path, tasks: dict[str, str]) -> None:
    with sqlite3.connect(folder / "home" / "comity.db") as db:
        db.execute("INSERT INTO migrations VALUES (99, 'x', 'y', 0)")
    db.close()
    result = comity("tasks", "ls")
    assert result.exit_code == Exit.STORE
    assert "the store has schema `99`" in result.stderr


def test_a_file_that_is_no_store_is_refused(comity, folder: Path) -> None:
    (folder / "notes.db").write_text("not a database at all, but long enough to be looked at" * 20, encoding="utf-8")
    result = comity("tasks", "ls", "--store", "sqlite:///notes.db")
    assert result.exit_code == Exit.STORE
    assert "is no SQLite file" in result.stderr


def test_a_locked_store_is_told(comity, folder: Path, tasks: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MS", 20)
    other = apsw.Connection(str(folder / "home" / "comity.db"))
    other.execute("BEGIN IMMEDIATE")
    result = comity("tasks", "signal", tasks["ask"], "go")
    other.close()
    assert result.exit_code == Exit.STORE
    assert "another process holds the store" in result.stderr


@pytest.mark.parametrize(
    ("cause", "text"),
    [(apsw.FullError("disk full"), "no room for the store"), (apsw.ReadOnlyError("readonly"), "is read-only")],
)
def test_a_full_or_read_only_disk_is_told(
    comity, tasks: dict[str, str], monkeypatch: pytest.MonkeyPatch, cause: apsw.Error, text: str
) -> None:
    def probe(moment: str) -> None:
        raise cause

    monkeypatch.setitem(sqlite.SqliteStore.__init__.__kwdefaults__, "probe", probe)
    result = comity("tasks", "cancel", tasks["ask"])
    assert result.exit_code == Exit.STORE
    assert text in result.stderr


def test_with_json_an_error_is_a_document_too(comity, folder: Path) -> None:
    result = comity("tasks", "show", "ffffffff", "--json")
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "no_store"
    assert error["hint"]
    assert result.stderr.startswith("error: ")
