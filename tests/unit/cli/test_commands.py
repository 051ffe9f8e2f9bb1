"""What commands answer: to people in calm text, to programs in one document with stable keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comity.cli.exits import MEANING, Exit
from comity.cli.main import COMMANDS
from comity.runtime.isolation import described


def of(result) -> dict:
    return json.loads(result.stdout)


def test_help_names_every_command_and_every_exit_code(comity) -> None:
    result = comity("--help")
    assert result.exit_code == 0
    for name, (_, text) in COMMANDS.items():
        assert name in result.stdout
        assert text in result.stdout
    for code in MEANING:
        assert str(int(code)) in result.stdout


@pytest.mark.parametrize("group", ["tasks", "sessions", "questions", "agents", "tools", "store", "config"])
def test_every_command_has_help_with_examples(comity, group: str) -> None:
    from importlib import import_module

    for name in import_module(COMMANDS[group][0].partition(":")[0]).COMMANDS:
        result = comity(group, name, "--help")
        assert result.exit_code == 0
        assert "Examples:" in result.stdout
        assert f"comity {group} {name}" in result.stdout.split("Examples:")[1]
        assert "--json" in result.stdout


def test_init_writes_a_file_that_loads_and_never_over_another(comity, folder: Path) -> None:
    assert comity("init").exit_code == 0
    assert comity("config", "show").exit_code == 0
    again = comity("init")
    assert again.exit_code == Exit.USAGE
    assert "`comity.toml` is there already" in again.stderr
    assert comity("init", "--force").exit_code == 0


def test_a_flag_goes_before_the_environment_and_that_before_the_file(
    comity, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store() -> tuple[str, str]:
        settings = of(comity("config", "show", "--json", *flag))["settings"]
        line = next(line for line in settings if line["key"] == "store.url")
        return line["value"], line["source"]

    flag: list[str] = []
    (folder / "comity.toml").write_text('[store]\nurl = "sqlite:///file.db"\n', encoding="utf-8")
    assert store() == ('"sqlite:///file.db"', "comity.toml:2")
    monkeypatch.setenv("COMITY_STORE__URL", "sqlite:///env.db")
    assert store() == ('"sqlite:///env.db"', "env COMITY_STORE__URL")
    flag = ["--store", "sqlite:///flag.db"]
    assert store() == ('"sqlite:///flag.db"', "flag")


def test_shared_options_may_stand_before_and_behind_the_command(comity, tasks: dict[str, str]) -> None:
    assert of(comity("--json", "tasks", "ls")) == of(comity("tasks", "ls", "--json"))


def test_tasks_are_listed_newest_first_and_filtered(comity, tasks: dict[str, str]) -> None:
    listed = of(comity("tasks", "ls", "--json"))
    assert [task["goal"] for task in listed["tasks"]] == ["fail", "ask", "doubt", "dear", "done"]
    assert not listed["has_more"]
    parked = of(comity("tasks", "ls", "--json", "--state", "parked"))["tasks"]
    assert [(task["id"], task["reason"]) for task in parked] == [(tasks["doubt"], "in_doubt")]
    assert of(comity("tasks", "ls", "--json", "--limit", "2"))["has_more"]
    shown = comity("tasks", "ls").stdout
    assert all(task[-8:] in shown for task in tasks.values())


@pytest.mark.parametrize("cut", [slice(-8, None), slice(0, 18), slice(None)])
def test_a_task_may_be_named_by_the_end_or_the_beginning_of_its_id(comity, tasks: dict[str, str], cut: slice) -> None:
    part = tasks["done"][cut]
    if cut == slice(0, 18):
        part = tasks["done"][:23]
    assert of(comity("tasks", "show", part, "--json"))["id"] == tasks["done"]


def test_show_tells_calls_doubts_and_what_to_type_next(comity, tasks: dict[str, str]) -> None:
    result = comity("tasks", "show", tasks["doubt"][-8:])
    name = tasks["doubt"][-8:]
    assert "breaks" in result.stdout
    assert "in doubt" in result.stdout
    assert "OSError: connection reset" in result.stdout
    for words in ("--happened --result JSON", "--not-happened", "--again"):
        assert f"comity tasks resolve {name} 3 {words}" in result.stdout
    shown = of(comity("tasks", "show", tasks["doubt"], "--json"))
    assert shown["in_doubt"] == [3]
    assert shown["calls"][0]["phase"] == "in_doubt"
    assert shown["calls"][0]["args"] == {"order": 7}


def test_show_tells_how_a_task_ended_and_what_it_used(comity, tasks: dict[str, str]) -> None:
    shown = of(comity("tasks", "show", tasks["done"], "--json"))
    assert shown["state"] == "succeeded"
    assert shown["result"] == "all is well"
    assert shown["used"]["calls"] == {"irreversible": 1, "model": 1}
    assert shown["calls"][0]["name"] == "charge"
    assert shown["calls"][0]["result"] == {"id": "ch_7", "amount": 5}
    failed = of(comity("tasks", "show", tasks["fail"], "--json"))
    assert "no such order" in failed["error"]["message"]


def test_tail_prints_each_entry_once_and_follows_until_the_end(comity, tasks: dict[str, str]) -> None:
    lines = comity("tasks", "tail", tasks["done"], "-f").stdout.splitlines()
    entries = of(comity("tasks", "tail", tasks["done"], "--json"))["entries"]
    assert len(lines) == len(entries)
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert "→ charge(amount=5, order=7)" in "\n".join(lines)
    assert "succeeded all is well" in lines[-1]
    stream = comity("tasks", "tail", tasks["done"], "-f", "--json").stdout.splitlines()
    assert [json.loads(line) for line in stream] == entries


def test_an_order_is_sent_to_the_tasks_inbox(comity, tasks: dict[str, str]) -> None:
    result = comity("tasks", "pause", tasks["ask"][-8:])
    assert result.exit_code == 0
    assert "pause sent to task" in result.stdout
    assert "no node is up" in result.stderr
    assert of(comity("tasks", "cancel", tasks["ask"], "--json")) == {
        "task": tasks["ask"],
        "order": "cancel",
        "has_node": False,
    }


def test_a_question_is_listed_and_answered_once(comity, tasks: dict[str, str]) -> None:
    (question,) = of(comity("questions", "ls", "--json"))["questions"]
    assert question["task"] == tasks["ask"]
    assert (question["question"], question["options"]) == ("Ship it?", ["yes", "no"])
    assert "Ship it?" in comity("questions", "ls").stdout
    assert comity("questions", "answer", tasks["ask"][-8:], "yes").exit_code == 0


def test_a_fork_and_its_origin_part_where_the_goal_makes_them(comity, tasks: dict[str, str]) -> None:
    forked = of(comity("tasks", "fork", tasks["done"], "--goal", "dear", "--json"))
    assert forked["origin"] == tasks["done"]
    assert forked["at"] == 1
    found = of(comity("tasks", "diff", forked["task"], "--json"))
    assert found["heads"] == [{"name": "goal", "left": "done", "right": "dear"}]
    assert found["first_difference"]["what"] == "is only in the first task"


def test_diff_tells_the_path_at_which_arguments_differ(comity, tasks: dict[str, str]) -> None:
    result = comity("tasks", "diff", tasks["done"], tasks["dear"], "--json")
    first = of(result)["first_difference"]
    assert result.exit_code == Exit.FAILED
    assert first["what"] == "has other arguments"
    assert first["changes"] == [{"path": "amount", "left": "5", "right": "9"}]
    assert "5 → 9" in comity("tasks", "diff", tasks["done"], tasks["dear"]).stdout
    same = comity("tasks", "diff", tasks["done"], tasks["done"])
    assert same.exit_code == 0


def test_a_stop_is_committed_then_quiesced_and_lists_what_is_on_the_wire(comity, tasks: dict[str, str]) -> None:
    stopped = of(comity("stop", "agent:clerk", "--json"))
    assert (stopped["committed"], stopped["quiesced"]) == (True, True)
    assert [(call["task"], call["name"]) for call in stopped["on_the_wire"]] == [(tasks["doubt"], "breaks")]
    assert of(comity("stop", "--list", "--json"))["stopped"][0]["scope"] == "agent:clerk"
    lines = comity("stop", f"task:{tasks['ask'][-8:]}").stdout.splitlines()
    assert lines[0].startswith(f"committed task:{tasks['ask']}")
    assert lines[1].startswith("quiesced")
    assert comity("stop", "agent:clerk", "--lift").exit_code == 0


def test_sessions_are_listed_and_shown(comity, tasks: dict[str, str]) -> None:
    shown = of(comity("sessions", "show", "ada", "--json"))
    assert [task["id"] for task in shown["tasks"]] == [tasks["done"]]
    assert comity("sessions", "ls").exit_code == 0


def test_agents_are_registered_from_files_and_listed_with_their_tools(comity, clerk: Path) -> None:
    assert comity("agents", "register", "clerk.py", "--quiet").exit_code == 0
    (agent,) = of(comity("agents", "ls", "--json"))["agents"]
    assert agent["name"] == "clerk"
    assert [(tool["name"], tool["effect"]) for tool in agent["tools"]] == [
        ("charge", "irreversible"),
        ("breaks", "irreversible"),
    ]


def test_an_operators_stricter_class_is_registered_and_a_wider_one_refused(comity, folder: Path, clerk: Path) -> None:
    (folder / "comity.toml").write_text('[tools.charge]\neffect = "read"\n', encoding="utf-8")
    result = comity("agents", "register", "clerk.py")
    assert result.exit_code == Exit.USAGE
    assert "`tools.charge.effect` may not be `read`" in result.stderr


def test_doctor_tells_of_each_thing_and_finds_a_changed_agent_file(comity, tasks: dict[str, str], clerk: Path) -> None:
    found = of(comity("doctor", "--json"))
    checks = {check["name"]: check for check in found["checks"]}
    assert found["is_sound"]
    assert checks["brain isolation"]["text"].startswith(described())
    assert "synchronous=FULL" in checks["durability"]["text"]
    assert checks["agents"]["mark"] == "ok"
    clerk.write_text(clerk.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    assert "has changed since it was registered" in comity("doctor").stdout
    clerk.unlink()
    gone = comity("doctor")
    assert gone.exit_code == Exit.FAILED
    assert "is not there (clerk)" in gone.stdout


def test_doctor_warns_of_a_home_that_is_open_to_others(comity, folder: Path, tasks: dict[str, str]) -> None:
    (folder / "home").chmod(0o755)
    assert "is open to others (mode 0755)" in comity("doctor").stdout


def test_doctor_survives_a_store_that_is_none(comity, folder: Path) -> None:
    (folder / "notes.db").write_text("not a database, only notes " * 50, encoding="utf-8")
    result = comity("doctor", "--store", "sqlite:///notes.db")
    assert result.exit_code == Exit.FAILED
    assert "is no SQLite file" in result.stdout


def test_a_store_is_backed_up_checked_restored_and_pruned(comity, folder: Path, tasks: dict[str, str]) -> None:
    assert comity("store", "check").exit_code == 0
    assert comity("store", "migrate", "--preview", "--json").exit_code == 0
    assert comity("store", "backup", "copy.db").exit_code == 0
    again = ("--store", "sqlite:///again.db")
    assert comity("store", "restore", "copy.db", *again).exit_code == 0
    assert len(of(comity("tasks", "ls", "--json", *again))["tasks"]) == len(tasks)
    assert comity("store", "restore", "copy.db", *again).exit_code != 0
    pruned = of(comity("store", "prune", "--ended", "0s", "--yes", "--json"))
    assert set(pruned) == {"tasks", "entries", "segments", "nodes"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(comity, shell: str) -> None:
    assert "_COMITY_COMPLETE" in comity("completion", shell).stdout


def test_completion_offers_task_ids_agents_and_scopes(
    comity, tasks: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.shell_completion import ShellComplete

    from comity.cli.main import root

    def offered(words: list[str], incomplete: str) -> list[str]:
        found = ShellComplete(root, {}, "comity", "_COMITY_COMPLETE")
        return [item.value for item in found.get_completions(words, incomplete)]

    assert tasks["done"][-8:] in offered(["tasks", "show"], "")
    assert offered(["tasks", "show"], tasks["ask"][-8:-4]) == [tasks["ask"][-8:]]
    assert offered(["tasks", "ls", "--agent"], "cl") == ["clerk"]
    assert "agent:clerk" in offered(["stop"], "agent:")
    assert offered([], "tas") == ["tasks"]
    monkeypatch.setenv("COMITY_STORE__URL", "sqlite:///gone.db")
    assert offered(["tasks", "show"], "") == []


def test_text_of_agents_cannot_speak_to_the_terminal(comity, folder: Path, clerk: Path) -> None:
    from comity.runtime.words import clean

    assert clean("a\x1b[2Jb\u202ec\nd") == "a\\x1b[2Jb\\u202ec\nd"
    assert comity("run", "clerk.py", "--goal", "bad\x1b[2J", "--detach").exit_code == 0
    assert "\x1b" not in comity("tasks", "ls").stdout


def test_version_is_told(comity) -> None:
    assert comity("version").stdout.startswith("comity ")
    assert "sqlite" in of(comity("version", "--json"))
