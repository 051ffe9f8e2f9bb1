"""Each rule of tidy finds what it is for, and leaves alone what it is not for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tidy
import tidy_imports
import tidy_shape
from tidy_source import Finding, parse

DOC = '"""One idea."""\n'
LAZY_INIT = """
if TYPE_CHECKING:
    from comity.runtime import run

__all__ = ["run"]
_LAZY = {"run": "comity.runtime"}

def __getattr__(name): ...

def __dir__(): ...
"""


@pytest.fixture
def tree(tmp_path: Path):
    def write(files: dict[str, str]) -> Path:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return tmp_path

    return write


def found(text: str, path: str = "src/comity/kernel/example.py") -> list[tuple[str, int]]:
    """The rules that one file breaks, with the lines."""
    source = parse(path, text)
    rules = (*tidy_shape.RULES, *tidy_imports.RULES)
    return [(finding.rule, finding.line) for rule in rules for finding in rule(source)]


def rules_of(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.path) for finding in findings]


# ---- shape -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "expected"), [(599, []), (600, [("file-length", 1)])])
def test_a_file_has_at_most_600_lines(count: int, expected: list[tuple[str, int]]) -> None:
    assert found(DOC + "x = 1\n" * count) == expected


@pytest.mark.parametrize(("count", "expected"), [(69, []), (70, [("function-length", 2)])])
@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_function_has_at_most_70_lines(keyword: str, count: int, expected: list[tuple[str, int]]) -> None:
    assert found(f"{DOC}{keyword} long():\n" + "    x = 1\n" * count) == expected


def test_a_decorator_is_no_line_of_its_function() -> None:
    assert found(f"{DOC}@decorator(\n    1,\n)\ndef long():\n" + "    x = 1\n" * 69) == []


def test_a_function_has_at_most_8_parameters() -> None:
    assert found(f"{DOC}def f(a, b, /, c, d, *, e, f, g, h): ...\n") == []
    assert found(f"{DOC}def f(a, b, /, c, d, *e, f, g, h, **i): ...\n") == [("parameters", 2)]


def test_self_and_cls_are_not_counted_as_parameters() -> None:
    method = "def f(self, a, b, c, d, e, f, g, h): ...\n"
    assert found(f"{DOC}class C:\n    {method}") == []
    assert found(f"{DOC}class C:\n    @classmethod\n    {method}") == []
    assert found(f"{DOC}class C:\n    @staticmethod\n    {method}") == [("parameters", 4)]
    assert found(DOC + method) == [("parameters", 2)]


@pytest.mark.parametrize("name", ["utils.py", "common.py", "helpers.py", "manager.py", "task_manager.py", "utils/a.py"])
def test_no_module_is_named_for_having_no_idea(name: str) -> None:
    assert found(DOC, f"src/comity/kernel/{name}") == [("vague-name", 1)]


def test_a_word_of_a_name_may_be_vague_where_another_says_what_it_is() -> None:
    assert found(DOC, "src/comity/kernel/common_prefix.py") == []


def test_a_module_says_its_idea_in_at_most_12_lines() -> None:
    assert found("x = 1\n") == [("docstring", 1)]
    assert found('"""' + "line\n" * 12 + '"""\n') == []
    assert found('"""' + "line\n" * 13 + '"""\n') == [("docstring", 1)]


def test_an_empty_init_needs_a_docstring_only_in_the_product() -> None:
    assert found("", "tests/unit/__init__.py") == []
    assert found("", "src/comity/kernel/__init__.py") == [("docstring", 1)]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "from __future__ import annotations\n",
        'from comity.core.ids import Id\n\n__all__ = ["Id"]\n',
        'from comity.core.ids import Id\n\n__all__ = ("Id",)\n__version__ = "1"\n',
        LAZY_INIT,
    ],
)
def test_an_init_may_re_export(body: str) -> None:
    assert found(DOC + body, "src/comity/core/__init__.py") == []


@pytest.mark.parametrize(
    "body",
    [
        "from comity.core.ids import Id\n",
        "from comity.core.ids import Id\n__all__ = sorted(globals())\n",
        "__all__ = []\ndef f(): ...\n",
        "__all__ = []\nclass C: ...\n",
        "__all__ = []\nprint()\n",
        "__all__ = []\n_TABLE = {}\n",
        "__all__ = []\nLIMIT = 1\n\ndef __getattr__(name): ...\n",
        "__all__ = []\nif TYPE_CHECKING:\n    X = 1\n",
    ],
)
def test_an_init_does_nothing_else(body: str) -> None:
    assert {rule for rule, _ in found(DOC + body, "src/comity/core/__init__.py")} == {"init-only-exports"}


@pytest.mark.parametrize(("count", "expected"), [(30, []), (31, [("exports", 1)])])
def test_the_top_level_exports_at_most_30_names(count: int, expected: list[tuple[str, int]]) -> None:
    text = f"{DOC}__all__ = {[f'name_{number}' for number in range(count)]}\n"
    assert found(text, "src/comity/__init__.py") == expected
    assert found(text, "src/comity/kernel/__init__.py") == []


@pytest.mark.parametrize(
    "caught", ["", " Exception", " BaseException", " (ValueError, Exception) as error", " builtins.Exception"]
)
def test_a_broad_except_raises_again(caught: str) -> None:
    handler = f"{DOC}try:\n    x = 1\nexcept{caught}:\n"
    assert found(f"{handler}    x = 2\n") == [("broad-except", 4)]
    assert found(f"{handler}    if x:\n        raise\n") == []
    assert found(f"{handler}    raise Other from None\n") == []


def test_a_raise_in_a_function_that_the_handler_defines_is_no_raise_of_the_handler() -> None:
    text = f"{DOC}try:\n    x = 1\nexcept Exception:\n    def f():\n        raise ValueError\n"
    assert found(text) == [("broad-except", 4)]


def test_an_except_that_names_its_errors_may_answer_for_them() -> None:
    assert found(f"{DOC}try:\n    x = 1\nexcept (ValueError, KeyError):\n    x = 2\n") == []


def test_suppress_names_its_errors_too() -> None:
    assert found(f"{DOC}import contextlib\nwith contextlib.suppress(Exception): ...\n") == [("broad-except", 3)]
    assert found(f"{DOC}from contextlib import suppress\nwith suppress(ValueError): ...\n") == []


# ---- reach -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("import time\nx = time.time()\n", "clock"),
        ("import time as t\nx = t.monotonic()\n", "clock"),
        ("from time import monotonic_ns as now\nx = now\n", "clock"),
        ("from datetime import datetime\nx = datetime.now(UTC)\n", "clock"),
        ("import datetime\nx = datetime.datetime.utcnow()\n", "clock"),
        ("import random\n", "chance"),
        ("from random import choice\n", "chance"),
        ("import secrets\n", "chance"),
        ("import uuid\nx = uuid.uuid4()\n", "chance"),
        ("from uuid import uuid1\nx = uuid1()\n", "chance"),
        ("import os\nx = os.urandom(8)\n", "chance"),
        ("import socket\n", "network"),
        ("import httpx2\n", "network"),
        ("import urllib.request\n", "network"),
        ("from urllib import request\n", "network"),
        ("from http.client import HTTPConnection\n", "network"),
        ("import asyncio\nx = asyncio.start_server\n", "network"),
    ],
)
def test_the_product_reaches_outside_through_its_ports_only(text: str, rule: str) -> None:
    assert {name for name, _ in found(DOC + text)} == {rule}


@pytest.mark.parametrize(
    "text",
    [
        "import time\nx = time.struct_time\n",
        "import os\nx = os.getpid()\n",
        "import uuid\nx = uuid.UUID(int=0)\n",
        "from datetime import datetime\nx = datetime.fromtimestamp(0, UTC)\n",
        "from urllib.parse import urlsplit\n",
        "from http import HTTPStatus\n",
        "def f(time):\n    return time.time()\n",
        "import asyncio\nx = asyncio.sleep(1)\n",
    ],
)
def test_what_is_neither_clock_nor_chance_nor_network_is_free(text: str) -> None:
    assert found(DOC + text) == []


def test_clock_and_entropy_are_the_places_for_clock_and_chance() -> None:
    assert found(f"{DOC}import time\nx = time.monotonic()\n", "src/comity/core/clock.py") == []
    assert found(f"{DOC}import random\n", "src/comity/core/entropy.py") == []


@pytest.mark.parametrize("layer", ["stores", "models", "hands", "server", "runtime"])
def test_five_layers_may_use_the_network(layer: str) -> None:
    assert found(f"{DOC}import socket\n", f"src/comity/{layer}/link.py") == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)\n",
        "import time\ntime.sleep(0)\n",
        "import asyncio\nawait_ = asyncio.sleep(0.1)\n",
        "from asyncio import sleep\nx = sleep\n",
        "import time\nx = time.time()\n",
        "from datetime import datetime\nx = datetime.now()\n",
    ],
)
def test_a_test_neither_sleeps_nor_reads_the_wall_clock(text: str) -> None:
    assert found(DOC + text, "tests/unit/test_example.py") == [("test-sleep", 3)]
    assert found(DOC + text, "tests/benchmarks/example.py") == []


def test_a_test_may_yield_and_take_chance() -> None:
    text = f"{DOC}import asyncio\nimport random\nx = asyncio.sleep(0)\n"
    assert found(text, "tests/unit/test_example.py") == []


# ---- the tree --------------------------------------------------------------------------------------------


def test_a_circle_of_imports_is_found_once_and_told_in_order(tree) -> None:
    root = tree(
        {
            "src/comity/a.py": f"{DOC}from comity import b\n",
            "src/comity/b.py": f"{DOC}def late():\n    import comity.c\n",
            "src/comity/c.py": f"{DOC}from comity.a import name\n",
        }
    )
    [finding] = tidy.find(root)
    assert str(finding) == (
        "src/comity/a.py:2 import-cycle an import cycle: comity.a -> comity.b -> comity.c -> comity.a"
    )


def test_a_module_may_not_import_from_the_package_that_re_exports_it(tree) -> None:
    root = tree(
        {
            "src/comity/core/__init__.py": f'{DOC}from comity.core.ids import Id\n\n__all__ = ["Id"]\n',
            "src/comity/core/ids.py": f"{DOC}from comity.core import Id\n",
        }
    )
    assert rules_of(tidy.find(root)) == [("import-cycle", "src/comity/core/__init__.py")]


def test_two_circles_are_two_findings(tree) -> None:
    pairs = {"a": "b", "b": "a", "c": "d", "d": "c"}
    root = tree({f"src/comity/{name}.py": f"{DOC}import comity.{other}\n" for name, other in pairs.items()})
    assert [finding.path for finding in tidy.find(root)] == ["src/comity/a.py", "src/comity/c.py"]


def test_an_import_for_types_only_and_a_lazy_name_close_no_circle(tree) -> None:
    root = tree(
        {
            "src/comity/__init__.py": f'{DOC}__all__ = ["a"]\n\ndef __getattr__(name):\n    import comity.a\n',
            "src/comity/a.py": f"{DOC}import comity\nimport comity.b\n",
            "src/comity/b.py": f"{DOC}from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import comity.a\n",
        }
    )
    assert tidy.find(root) == []


def test_every_public_class_is_in_the_glossary(tree) -> None:
    classes = f"{DOC}class Known: ...\nclass Unknown: ...\nclass _Private: ...\n"
    root = tree(
        {
            "src/comity/a.py": classes,
            "src/comity/_b.py": classes,
            "docs/concepts/glossary.md": "| `Known` | one that is known |\n| Unknowns | another word |\n",
        }
    )
    assert rules_of(tidy.find(root)) == [("glossary", "src/comity/a.py")]


def test_a_file_that_is_no_python_is_a_finding(tree) -> None:
    root = tree({"src/comity/a.py": "def\n"})
    assert rules_of(tidy.find(root)) == [("syntax", "src/comity/a.py")]


def test_folders_that_are_not_ours_are_not_read(tree) -> None:
    root = tree({"src/comity/node_modules/a.py": "x = 1\n", "src/.hidden/a.py": "x = 1\n"})
    assert tidy.find(root) == []


# ---- the allow-list --------------------------------------------------------------------------------------


def entry(rule: str = "docstring", path: str = "src/comity/a.py", reason: str = "because") -> str:
    return f'[[allow]]\nrule = "{rule}"\npath = "{path}"\nreason = "{reason}"\n'


def test_an_entry_of_the_allow_list_excuses_one_rule_in_one_file(tree) -> None:
    files = {"src/comity/a.py": "import random\n", "src/comity/b.py": "x = 1\n", tidy.ALLOW_LIST: entry()}
    assert rules_of(tidy.find(tree(files))) == [("chance", "src/comity/a.py"), ("docstring", "src/comity/b.py")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (entry(path="src/comity/b.py"), "excuses nothing"),
        (entry(rule="exports"), "excuses nothing"),
        (entry(rule="speling"), "unknown rule `speling`"),
        (entry(reason=" "), "gives no reason"),
        (entry() + entry(), "a second time"),
        ('[[allow]]\nrule = "docstring"\npath = "src/comity/a.py"\n', "exactly rule, path and reason"),
        ("[other]\n", "only [[allow]] entries"),
    ],
)
def test_the_allow_list_itself_is_held_to_rules(tree, text: str, message: str) -> None:
    root = tree({"src/comity/a.py": "x = 1\n", tidy.ALLOW_LIST: text})
    messages = [finding.message for finding in tidy.find(root) if finding.rule == "allow-list"]
    assert len(messages) == 1
    assert message in messages[0]


def test_every_rule_that_can_be_found_can_be_allowed() -> None:
    own = {rule.__name__.replace("_", "-") for rule in (*tidy_shape.RULES, *tidy_imports.RULES)}
    assert own | {"import-cycle", "glossary"} == tidy.RULE_NAMES


# ---- the command -----------------------------------------------------------------------------------------


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(tidy.__file__)), "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_path_line_rule_and_message_and_fails(tree) -> None:
    result = run(tree({"src/comity/a.py": f"{DOC}import random\n"}))
    assert result.returncode == 1
    first = "src/comity/a.py:2 chance `random` is used directly; take it from an `Entropy` of comity.core"
    assert result.stdout.splitlines()[0] == first


def test_the_command_is_content_with_a_tidy_tree(tree) -> None:
    result = run(tree({"src/comity/a.py": DOC, "docs/concepts/glossary.md": "# Glossary\n"}))
    assert (result.returncode, result.stdout) == (0, "")


def test_the_command_says_that_it_did_not_look_for_classes_in_a_glossary_that_is_not_there(tree) -> None:
    result = run(tree({"src/comity/a.py": DOC}))
    assert (result.returncode, result.stdout[:5]) == (0, "note:")


def test_the_command_prints_medians_when_asked(tree) -> None:
    body = f'{DOC}def f():\n    """Do it."""\n    return 1\n\n\ndef g(): ...\n'
    result = run(tree({"src/comity/a.py": body, "src/comity/b.py": DOC}), "--stats")
    assert result.returncode == 0
    assert "files: 2 of them, median 4 lines" in result.stdout
    assert "functions: 2 of them, median 2 lines, p90 2, longest 2 without docstrings" in result.stdout
