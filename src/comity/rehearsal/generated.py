"""A counterexample as a test that replays it: it fails while the run can still happen, and passes once it cannot."""

from __future__ import annotations

import re

import msgspec

from comity.rehearsal.trace import Trace

_TEXT = '''"""Replays a counterexample of `{path}`: fails while these steps can still break an invariant."""

from pathlib import Path

from comity.rehearsal.plugin import assert_replay_holds

WORLD = Path(__file__).parent / {world!r}
TRACE = r"""
{trace}
"""


def test_{name}() -> None:
    assert_replay_holds(WORLD, TRACE)
'''


def pytest_of(trace: Trace, path: str) -> str:
    """Return the test's source; `path` is where its world file is, from the test's folder."""
    data = msgspec.json.format(msgspec.json.encode(trace), indent=1).decode().replace('"""', '\\"\\"\\"')
    agents = "_and_".join(re.sub(r"\W+", "_", name).strip("_") for name in trace.agents) or "the_surroundings"
    ending = "do_not_go_round" if trace.ends == "lasso" else "keep_the_invariants"
    return _TEXT.format(path=path, world=path, trace=data, name=f"{agents}_{ending}".lower())
