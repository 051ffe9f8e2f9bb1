"""The question, and the call that it becomes."""

from __future__ import annotations

from comity.core.codec import canonical, decode, digest
from comity.gateway.question import Question, exact_of, read_thought
from comity.journal.call import CallKey, Kind
from recall_world import thought

ARGS = canonical({"x": 1})
EARLIER = CallKey("", Kind.MODEL, "open/m", 3)


def test_a_question_is_named_by_its_arguments_where_nothing_else_names_it() -> None:
    assert Question(Kind.TOOL, "book", ARGS).exact == digest(ARGS)


def test_a_recorded_thought_is_named_as_its_question_was() -> None:
    question = thought([("user", "hello")])
    assert exact_of(Kind.MODEL, question.args) == question.exact
    assert exact_of(Kind.MODEL, question.args_after(EARLIER)) == question.exact


def test_thoughts_of_other_context_or_fields_are_others() -> None:
    named = {thought([("user", text)], rest=rest).exact for text in ("a", "b") for rest in ("{}", '{"n":2}')}
    assert len(named) == 4


def test_a_call_carries_the_thought_that_it_goes_on_from_in_canonical_arguments() -> None:
    question = thought([("user", "hello")])
    call = question.call(CallKey("", Kind.MODEL, "m", 4), 17, EARLIER)
    assert (call.key, call.consumed) == (CallKey("", Kind.MODEL, "m", 4), 17)
    assert canonical(decode(call.args)) == call.args
    assert read_thought(call.args).parent == EARLIER
    assert question.call(call.key, 17).args == question.args


def test_effects_are_acting_tools_and_children() -> None:
    kinds = (Kind.TOOL, Kind.SPAWN, Kind.HUMAN, Kind.TIMER)
    assert [Question(kind, "any", ARGS).is_effect for kind in kinds] == [False, True, False, False]
    assert Question(Kind.TOOL, "book", ARGS, acts=True).is_effect
