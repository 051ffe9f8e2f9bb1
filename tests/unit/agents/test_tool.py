"""Declaring tools and agents: what is left on a function, and what is refused before anything runs."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import msgspec
import pytest

from comity import Agent, CallContext, Context, Effect, Happened, agent, tool
from comity.core.errors import UsageError
from comity.journal.program import AGENT, TOOL, bind
from comity.journal.spec import AgentSpec, ToolSpec
from comity.testing import ScriptedModel

CONTEXT = CallContext("task", "key", 1, "tool")


class Order(msgspec.Struct):
    """An order."""

    id: str
    lines: list[int] = []


def spec_of(function) -> ToolSpec:
    return getattr(function, TOOL)


@tool(effect="read")
def find(order: Order) -> Happened:
    return Happened()


@tool(effect="idempotent")
def undo(args: dict[str, Any], result: Any) -> None:
    """Undo it."""


def test_a_tool_is_irreversible_where_nothing_is_declared():
    @tool
    def pay(amount: int) -> str:
        """Pay."""
        return "paid"

    assert pay(3) == "paid"
    spec = spec_of(pay)
    assert (spec.name, spec.effect, spec.description, spec.once_per) == ("pay", Effect.IRREVERSIBLE, "Pay.", "task")


def test_the_schema_describes_the_arguments_and_leaves_the_call_context_out():
    @tool(effect="read")
    async def search(
        text: str,
        call: CallContext,
        limit: Annotated[int, msgspec.Meta(ge=1, description="how many")] = 10,
        since: datetime.date | None = None,
        tags: list[str] = ["a"],  # noqa: B006
    ) -> list[str]:
        return []

    schema = spec_of(search).schema
    assert schema["required"] == ["text"]
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == ["text", "limit", "since", "tags"]
    assert schema["properties"]["limit"] == {"type": "integer", "minimum": 1, "description": "how many", "default": 10}


def test_types_of_arguments_are_described_beside_them():
    schema = spec_of(find).schema
    assert schema["properties"] == {"order": {"$ref": "#/$defs/Order"}}
    assert schema["$defs"]["Order"]["properties"]["id"] == {"type": "string"}


def test_a_tool_may_name_another_that_reconciles_compensates_or_verifies():
    @tool(effect="reconcilable", reconcile=find, once="order.id", once_per="24h", visible_within_s=5)
    def book(order: Order) -> str:
        return "booked"

    @tool(effect=Effect.REVERSIBLE, compensate=undo, verify="check", once=["order.id", "note"])
    def reserve(order: Order, note: str) -> str:
        return "reserved"

    assert (spec_of(book).reconcile, spec_of(book).once, spec_of(book).visible_within_s) == ("find", ("order.id",), 5.0)
    assert (spec_of(reserve).compensate, spec_of(reserve).verify) == ("undo", "check")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"effect": "harmless"}, "bad_effect", "use one of pure, read"),
        ({"effect": "reconcilable"}, "no_reconcile", "add `reconcile=…`"),
        ({"effect": "reversible"}, "no_compensate", "add `compensate=…`"),
        ({"effect": "reconcilable", "reconcile": undo}, "unfit_tool", "`undo` only looks"),
        ({"effect": "reversible", "compensate": find}, "unfit_tool", "`find` may be repeated"),
        ({"effect": "read", "verify": undo}, "unfit_tool", "`undo` only looks"),
        ({"once": "price"}, "no_such_argument", "there are: `order`"),
        ({"once": "order.price"}, "no_such_argument", "there are: `id`, `lines`"),
        ({"once": "order", "once_per": "day"}, "bad_window", "such as `24h`"),
        ({"once_per": "24h"}, "once_without_paths", "add `once="),
        ({"name": "has blanks"}, "bad_name", "at most 64 letters"),
        ({"effects": "read"}, "unknown_option", "it knows compensate, effect"),
        ({"reconcile": print}, "not_declared", "decorate it with `@tool`"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_way_out(options, code, words):
    def pay(order: Order) -> None:
        """Pay."""

    with pytest.raises(UsageError) as caught:
        tool(**options)(pay)
    assert caught.value.code == code
    assert words in caught.value.hint


def test_parameters_that_no_agent_can_name_are_refused():
    def rest(*args: int) -> None: ...
    def unnamed(a: int, /) -> None: ...
    def unknown(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def odd(a: set[object] | frozenset[int]) -> None: ...

    for function, code in ((rest, "bad_parameter"), (unnamed, "bad_parameter"), (unknown, "unknown_type")):
        with pytest.raises(UsageError) as caught:
            tool(function)
        assert caught.value.code == code
    with pytest.raises(UsageError) as caught:
        tool(odd)
    assert caught.value.code == "unknown_type"


# ---- arguments -------------------------------------------------------------------------------------------


@tool(effect="read")
def typed(n: int, when: datetime.datetime, order: Order, call: CallContext, note: str = "none") -> None:
    """Take typed arguments."""


def test_arguments_are_bound_as_the_types_that_the_tool_declares():
    data = b'{"n":1,"when":"2025-01-02T03:04:05Z","order":{"id":"o1"}}'
    bound = bind(typed, data, CONTEXT)
    when = datetime.datetime(2025, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert bound == {"n": 1, "when": when, "order": Order("o1"), "call": CONTEXT}


@pytest.mark.parametrize(
    "data",
    [
        b'{"n":1.5}',
        b'{"n":"1","when":"2025-01-02T03:04:05Z","order":{"id":"o1"}}',
        b'{"n":1,"when":"2025-01-02T03:04:05Z","order":{"id":"o1"},"more":1}',
        b'{"n":1,"when":"2025-01-02T03:04:05Z","order":{"id":"o1"},"call":{}}',
        b'{"n":1,"n":2,"when":"2025-01-02T03:04:05Z","order":{"id":"o1"}}',
        b"[]",
        b"no json",
    ],
)
def test_arguments_of_other_types_and_unknown_ones_are_refused(data):
    with pytest.raises(UsageError):
        bind(typed, data, CONTEXT)


# ---- agents ----------------------------------------------------------------------------------------------


def test_an_agent_carries_its_specification():
    @agent(name="clerk", version="2", model="m", tools=[find, "other"], agents=["helper"], on_divergence="rethink")
    async def function(ctx: Context) -> None:
        """Work."""

    spec = getattr(function, AGENT)
    assert spec == AgentSpec(
        "clerk",
        version="2",
        description="Work.",
        model="m",
        tools=("find", "other"),
        agents=("helper",),
        on_divergence="rethink",
    )


def test_a_declarative_agent_carries_its_specification():
    made = Agent("h", "be good", "m", [find], turns_max=3, queue="slow", concurrency_limit=2)
    spec = getattr(made, AGENT)
    assert (spec.kind, spec.instructions, spec.tools, spec.turns_max) == ("harness", "be good", ("find",), 3)
    assert (spec.queue, spec.concurrency_limit) == ("slow", 2)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: agent(find), "not_a_coroutine"),
        (lambda: Agent("has blanks"), "bad_name"),
        (lambda: Agent("a", on_divergence="never"), "bad_option"),
        (lambda: Agent("a", model=3), "bad_model"),
        (lambda: Agent("a", tools=[print]), "not_declared"),
        (lambda: agent(tool=[find])(_sleeper), "unknown_option"),
        (lambda: Agent("a", agent=["b"]), "unknown_option"),
    ],
)
def test_an_agent_that_cannot_be_is_refused(make, code):
    with pytest.raises(UsageError) as caught:
        make()
    assert caught.value.code == code


async def _sleeper(ctx: Context) -> None: ...


def test_a_scripted_model_may_stand_where_a_name_does():
    made = Agent("a", model=ScriptedModel(["x"]))
    assert getattr(made, AGENT).model == ""
