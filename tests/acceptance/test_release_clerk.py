"""The release clerk's tools, one by one: what each does where the world is not as it was expected."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comity import CallContext, DidNotHappen, Happened, NotHappened
from comity.journal.program import load

CLERK = Path(__file__).resolve().parents[2] / "examples" / "release_clerk"
MINE = CallContext("task 1", "key 1", 1, "tool")
OTHERS = CallContext("task 2", "key 2", 1, "tool")


@pytest.fixture
def clerk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Give the tools, on a sample repository."""
    monkeypatch.syspath_prepend(CLERK)
    tools = load(CLERK / "clerk.py").tools
    sys.modules["repository"].sample(tmp_path / "repository")
    monkeypatch.setenv("RELEASE_REPOSITORY", str(tmp_path / "repository"))
    yield tools
    del sys.modules["repository"]
    for name in [name for name in sys.modules if name.startswith("comity_agent_file_clerk")]:
        del sys.modules[name]


def test_a_tag_that_exists_is_told_with_what_it_names_and_a_way_out(clerk: dict[str, Any]) -> None:
    head = clerk["read_history"]()["head"]
    clerk["tag"]("v1.0.0", head)
    with pytest.raises(NotHappened, match=f"tag `v1.0.0` exists and names {head[:10]}; take another version"):
        clerk["tag"]("v1.0.0", head)


def test_a_tag_in_doubt_is_found_only_if_it_names_the_commit(clerk: dict[str, Any]) -> None:
    head = clerk["read_history"]()["head"]
    assert isinstance(clerk["find_tag"]("v1.0.0", head), DidNotHappen)
    clerk["tag"]("v1.0.0", head)
    assert clerk["find_tag"]("v1.0.0", head) == Happened("v1.0.0")
    assert isinstance(clerk["find_tag"]("v1.0.0", "0" * 40), DidNotHappen)


def test_notes_in_doubt_are_found_by_what_they_say(clerk: dict[str, Any]) -> None:
    clerk["create_branch"]("release/v1", clerk["read_history"]()["head"], MINE)
    assert isinstance(clerk["find_commit"]("release/v1", "v1", "# v1\n"), DidNotHappen)
    commit = clerk["commit_notes"]("release/v1", "v1", "# v1\n")
    assert clerk["find_commit"]("release/v1", "v1", "# v1\n") == Happened(commit)
    assert isinstance(clerk["find_commit"]("release/v1", "v1", "# other\n"), DidNotHappen)
    assert isinstance(clerk["find_commit"]("release/v2", "v1", "# v1\n"), DidNotHappen)


def test_undoing_a_branch_leaves_somebody_elses_alone_and_may_be_repeated(clerk: dict[str, Any]) -> None:
    head = clerk["read_history"]()["head"]
    args = {"name": "release/v1", "start": head}
    clerk["delete_branch"](args, None, MINE)
    clerk["create_branch"]("release/v1", head, OTHERS)
    clerk["delete_branch"](args, None, MINE)
    with pytest.raises(NotHappened, match="there is a branch `release/v1`"):
        clerk["create_branch"]("release/v1", head, MINE)
    clerk["delete_branch"](args, None, OTHERS)
    clerk["delete_branch"](args, None, OTHERS)
    assert clerk["create_branch"]("release/v1", head, MINE) == "release/v1"
