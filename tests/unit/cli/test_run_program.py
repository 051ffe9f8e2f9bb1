"""`comity run -- …`: which of the two forms a line is, how a program is called, what is refused before it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from comity.cli.commands.run_program import name_of
from comity.cli.exits import Exit
from comity.runtime import isolation


def test_two_dashes_tell_one_form_from_the_other(comity) -> None:
    assert "FILE[:AGENT]" in comity("run", "--help").stdout.splitlines()[0]
    assert "-- CMD [ARGS]..." in comity("run", "--help", "--").stdout.splitlines()[0]
    assert "-- CMD [ARGS]..." in comity("run", "--help", "--", "python", "--goal").stdout.splitlines()[0]


def test_nothing_after_the_dashes_is_an_error(comity) -> None:
    result = comity("run", "--goal", "x", "--")
    assert result.exit_code == Exit.USAGE
    assert "no command was given after `--`" in result.stderr


def test_a_file_before_the_dashes_is_an_error(comity) -> None:
    result = comity("run", "clerk.py", "--", "echo")
    assert result.exit_code == Exit.USAGE
    assert "clerk.py" in result.stderr


@pytest.mark.parametrize("option", [("--goal", "x"), ("--agent", "x"), ("--dedupe", "x"), ("--allow", "x")])
def test_a_task_that_is_there_has_what_a_new_one_is_given(comity, option: tuple[str, str]) -> None:
    result = comity("run", "--task", "5f0c93ab", *option, "--", "echo")
    assert result.exit_code == Exit.USAGE
    assert "`--task` goes on with a task" in result.stderr


def test_a_program_that_is_not_there_is_an_error(comity) -> None:
    result = comity("run", "--", "no-such-program", "--goal")
    assert result.exit_code == Exit.USAGE
    assert "there is no program `no-such-program`" in result.stderr


def test_a_folder_that_holds_the_state_is_refused(comity, folder: Path) -> None:
    result = comity("run", "--", "echo")
    assert result.exit_code == Exit.USAGE
    assert f"`{folder.resolve()}/home` lies in the working folder" in result.stderr
    assert "hint: start it in a folder of its own" in result.stderr


def test_a_server_needs_a_token(comity, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = folder / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    result = comity("run", "--server", "http://127.0.0.1:1", "--", "echo")
    assert result.exit_code == Exit.USAGE
    assert "COMITY_TOKEN is not set" in result.stderr
    monkeypatch.setenv("COMITY_TOKEN", "co_x")
    result = comity("run", "--server", "http://127.0.0.1:1", "--", "echo")
    assert "no server answers at `http://127.0.0.1:1`" in result.stderr


def test_isolation_can_be_required(comity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "abi", lambda: 0)
    result = comity("run", "--require-isolation", "--", "echo")
    assert result.exit_code == Exit.USAGE
    assert "brain isolation here: none" in result.stderr


@pytest.mark.parametrize("option", ["--env=X={nope}", "--pass-env=NO_SUCH_ONE", "--budget=x=1", "--allow-port=0"])
def test_what_cannot_be_is_refused_before_anything_starts(
    comity, folder: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    work = folder / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert comity("run", option, "--", "echo").exit_code == Exit.USAGE
    assert not (folder / "home" / "comity.db").exists()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "agent.py"], "agent"),
        (["python", "-u", "agent.py", "other.py"], "agent"),
        (["uv", "run", "agent.py"], "agent"),
        (["python", "-m", "my.agent"], "my.agent"),
        (["/usr/bin/claude", "-p", "x"], "claude"),
        (["./agent.sh"], "agent.sh"),
        (["a b/c d"], "c-d"),
        (["python", "-m"], "python"),
        (["x" * 100], "x" * 64),
    ],
)
def test_a_program_is_called_by_what_it_runs(
    command: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("agent.py", "other.py"):
        Path(file).write_text("")
    assert name_of(command) == name
    assert os.sep not in name
