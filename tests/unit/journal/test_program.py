"""Agent files: what is found in one, and what is told where it cannot be loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.journal.program import AGENT, load, offered_by

FILE = """
from comity import Agent, Context, agent, tool
from comity.testing import ScriptedModel
from shelf import look

answers = ScriptedModel(["hi"])

@tool(effect="idempotent")
def undo(args: dict, result: object) -> None: ...

@tool(effect="reversible", compensate=undo, verify="check")
def reserve(seat: str) -> str:
    return seat

@tool(effect="read")
def check(args: dict, result: object) -> bool:
    return True

@agent(model=answers)
async def clerk(ctx: Context) -> None:
    await ctx.act(reserve, seat="1A")

@agent(name="narrow", model="m", tools=["look"], agents=[])
async def other(ctx: Context) -> None: ...

helper = Agent("helper", model=answers, tools=[look])
"""

SHELF = """
from comity import tool

@tool(effect="read")
def look(n: int) -> int:
    return n
"""


def write(folder: Path, text: str, name: str = "clerks.py") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "shelf", raising=False)
    write(tmp_path, SHELF, "shelf.py")
    return write(tmp_path, FILE)


def test_a_file_offers_its_agents_tools_and_scripted_models(file):
    loaded = load(file)
    program = loaded.program
    assert program.file == str(file)
    assert [spec.name for spec in program.agents] == ["clerk", "narrow", "helper"]
    assert sorted(spec.name for spec in program.tools) == ["check", "look", "reserve", "undo"]
    assert sorted(loaded.agents) == ["clerk", "helper", "narrow"]
    assert loaded.tools["look"](3) == 3
    assert loaded.models["answers"].answer([])["content"] == "hi"


def test_an_agent_that_declares_nothing_may_use_all_of_its_file(file):
    program = load(file).program
    clerk, narrow, helper = program.agents
    assert set(clerk.tools) == {"look", "undo", "reserve", "check"}
    assert set(clerk.agents) == {"clerk", "narrow", "helper"}
    assert (narrow.tools, narrow.agents) == (("look",), ())
    assert (helper.kind, helper.tools) == ("harness", ("look",))


def test_a_scripted_model_is_named_by_file_and_variable(file):
    loaded = load(file)
    assert [spec.model for spec in loaded.program.agents] == [
        f"scripted:{file}:answers",
        "m",
        f"scripted:{file}:answers",
    ]
    assert getattr(loaded.agents["clerk"], AGENT).model == f"scripted:{file}:answers"


def test_the_digest_follows_the_content_and_another_content_is_another_module(file):
    first = load(file)
    assert load(file).agents["clerk"] is first.agents["clerk"]
    file.write_text(FILE + "\n# changed\n", encoding="utf-8")
    second = load(file)
    assert second.program.digest != first.program.digest
    assert second.agents["clerk"] is not first.agents["clerk"]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("x = (\n", "bad_agent_file", ":1: '(' was never closed"),
        ("\nimport nowhere_to_be_found\n", "bad_agent_file", ":2: ModuleNotFoundError: No module named"),
        ("\n\nx = 1 / 0\n", "bad_agent_file", ":3: ZeroDivisionError"),
        ("import sys\nsys.exit(2)\n", "bad_agent_file", ":2: SystemExit: 2"),
        ("from comity import tool\n@tool(effect='odd')\ndef f(): ...\n", "bad_effect", ":2: tool `f`"),
        ("x = 1\n", "nothing_offered", "offers no agent and no tool"),
        ("from comity import Agent\na = Agent('a', tools=['gone'])\n", "no_such_tool", "agent `a` uses it"),
        (
            "from comity import Agent, tool\n@tool(effect='read', verify='gone')\ndef f(): ...\na = Agent('a')\n",
            "no_such_tool",
            "tool `f` has `verify=gone`",
        ),
        (
            "from comity import tool\n@tool(effect='reversible', compensate='u')\ndef f(): ...\n@tool\ndef u(): ...\n",
            "unfit_tool",
            "`u` is irreversible",
        ),
        ("from comity import Agent\na = Agent('a')\nb = Agent('a')\n", "two_of_one_name", "two agents named `a`"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named_with_line_and_way_out(tmp_path, text, code, words):
    file = write(tmp_path, text)
    before = set(sys.modules)
    with pytest.raises(UsageError) as caught:
        load(file)
    assert caught.value.code == code
    assert str(file) in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint
    if code == "bad_agent_file":
        assert not [name for name in set(sys.modules) - before if name.startswith("comity_agent_file")]


def test_a_missing_file_and_one_that_is_no_python_are_told(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "gone.py")
    with pytest.raises(UsageError, match="no Python file"):
        load(write(tmp_path, "x", "agent.txt"))


def test_what_runs_where_it_was_defined_offers_what_it_uses():
    from comity import Agent, Context, agent, tool
    from comity.testing import ScriptedModel

    @tool(effect="read")
    def local(n: int) -> int:
        return n

    @agent(tools=[local])
    async def leaf(ctx: Context) -> None: ...

    model = ScriptedModel(["x"])
    root = Agent("root", model=model, agents=[leaf])
    loaded = offered_by(root)
    assert sorted(loaded.agents) == ["leaf", "root"]
    assert list(loaded.tools) == ["local"]
    assert loaded.models == {"root.model": model}


def test_a_brain_loads_agents_journal_and_core_only(file):
    script = f"""
import sys
import comity
from comity.agents.worker import serve
from comity.journal.program import load
load({str(file)!r})
loaded = set(sys.modules)
layers = {{name.split(".")[1] for name in loaded if name.startswith("comity.")}}
assert layers == {{"core", "journal", "agents", "testing"}}, layers
assert not loaded & {{"apsw", "psycopg", "click", "rich", "httpx2", "zstandard", "sqlite3", "hypothesis"}}
assert {{name for name in loaded if "comity.testing" in name}} == {{"comity.testing", "comity.testing.scripted"}}
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_importing_comity_alone_loads_next_to_nothing():
    script = "import sys, comity; assert not [n for n in sys.modules if n.startswith('comity.')]; comity.nothing"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "AttributeError: module `comity` has no attribute `nothing`" in result.stderr


def test_every_name_that_comity_offers_is_where_it_says():
    import comity

    assert set(comity.__all__) == set(comity._HOME)
    for name in comity.__all__:
        assert getattr(comity, name) is not None
