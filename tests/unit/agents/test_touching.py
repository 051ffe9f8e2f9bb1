"""What a tool says that it touches is looked at when it is declared; errors name the tool."""

from __future__ import annotations

from typing import Any

import pytest

import comity
from comity.agents.tool import tool
from comity.core.errors import UsageError
from comity.journal.program import TOOL

DB, CASE = comity.Touch("db/{db}.instances", "add", "-count"), comity.Premise("case/{db}.state", "value != 'open'")


def declared(**options: Any) -> Any:
    """Return a tool's specification."""

    @tool(effect=options.pop("effect", "idempotent"), **options)
    def drain(db: str, count: int = 1) -> str:
        """Drain."""
        return db

    return getattr(drain, TOOL)


def test_touches_and_premises_stand_in_the_specification() -> None:
    spec = declared(touches=[DB], premises=[CASE])
    assert (spec.touches, spec.premises) == ((DB,), (CASE,))
    assert declared().touches == ()


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"touches": [comity.Touch("db/{host}.instances", "add", "1")]}, "bad_touch", "names `host`"),
        ({"touches": [comity.Touch("db/{db}.instances", "add", "-many")]}, "bad_touch", "names `many`"),
        ({"touches": [comity.Touch("db/{db}.instances", "add", "1 +")]}, "bad_touch", "has `1 +`"),
        ({"touches": [comity.Touch("db/{db}.instances", "move", "1")]}, "bad_touch", "has `move`"),  # type: ignore[arg-type]
        ({"touches": [comity.Touch("instances", "set", "1")]}, "bad_touch", "names no field"),
        ({"touches": [comity.Touch("db/*.instances", "set", "1")]}, "bad_touch", "names no field"),
        ({"touches": [comity.Touch("db/{db.instances", "set", "1")]}, "bad_touch", "names no field"),
        ({"touches": ["db/{db}.instances"]}, "bad_touch", "is no touch"),
        ({"touches": [DB], "effect": "read"}, "bad_touch", "effect=read"),
        ({"premises": [comity.Premise("case/{db}.state", "value.x")]}, "bad_premise", "has `value.x`"),
        ({"premises": [comity.Premise("case/{db}.state", "values > 1")]}, "bad_premise", "names `values`"),
        ({"premises": [DB]}, "bad_premise", "is no premise"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_tools_name(options: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(UsageError, match="tool `drain`") as caught:
        declared(**options)
    assert caught.value.code == code
    assert text in caught.value.message
    assert caught.value.hint
