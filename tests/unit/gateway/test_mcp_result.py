"""Results: what a call came to, in words for a model and in the shape of the client's era."""

from __future__ import annotations

from typing import Any

import pytest

from comity.core.codec import canonical
from comity.gateway.mcp_result import outcome_result, shown_output
from comity.journal.call import Delivered, Status
from comity.journal.spec import Effect, ToolSpec

FOREIGN = ToolSpec("crm.book", server="crm")
OURS = ToolSpec("look", Effect.READ)
TYPED = ToolSpec("look", Effect.READ, output={"type": "object"})


def done(value: Any) -> Delivered:
    return Delivered(Status.DONE, canonical(value))


def told(spec: ToolSpec, value: Any, *, is_modern: bool = False) -> dict[str, Any]:
    return outcome_result(spec, done(value), is_modern=is_modern)


def text(result: dict[str, Any]) -> str:
    (block,) = result["content"]
    assert block["type"] == "text"
    return str(block["text"])


def test_what_a_server_answered_is_passed_on() -> None:
    blocks = [{"type": "image", "data": "AA==", "mimeType": "image/png"}, {"type": "text", "text": "x"}]
    answered = {"content": blocks, "structuredContent": {"n": 1}, "isError": False, "_meta": {"their/key": 1}}
    assert told(FOREIGN, answered) == {"content": blocks, "structuredContent": {"n": 1}, "_meta": {"their/key": 1}}


def test_an_error_that_is_an_answer_is_passed_on() -> None:
    assert told(FOREIGN, {"content": [], "isError": True}) == {"content": [], "isError": True}


def test_the_protocols_own_keys_of_another_connection_are_not_passed_on() -> None:
    meta = {"io.modelcontextprotocol/serverInfo": {"name": "crm"}}
    assert "_meta" not in told(FOREIGN, {"content": [], "resultType": "complete", "_meta": meta})
    assert "resultType" not in told(FOREIGN, {"content": [], "resultType": "complete"})


def test_a_structured_list_reaches_only_clients_that_know_such() -> None:
    answered = {"content": [], "structuredContent": [1, 2]}
    assert told(FOREIGN, answered, is_modern=True) == answered
    assert told(FOREIGN, answered) == {"content": [{"type": "text", "text": "[1,2]"}]}


@pytest.mark.parametrize("value", [None, "booked by hand", {"n": 1}, {"content": "text"}, 7])
def test_what_a_person_said_of_a_servers_tool_is_told_like_a_value(value: Any) -> None:
    assert text(told(FOREIGN, value)) == (value if isinstance(value, str) else canonical(value).decode())


def test_a_plain_value_is_text_and_an_object_is_structured_too() -> None:
    assert told(OURS, "seen") == {"content": [{"type": "text", "text": "seen"}]}
    assert told(OURS, None) == {"content": [{"type": "text", "text": "null"}]}
    assert told(OURS, [1]) == {"content": [{"type": "text", "text": "[1]"}]}
    assert told(OURS, {"n": 1}) == {"content": [{"type": "text", "text": '{"n":1}'}], "structuredContent": {"n": 1}}


def test_a_declared_result_of_any_type_is_structured_where_the_era_has_that() -> None:
    count = ToolSpec("count", Effect.READ, output={"type": "integer"})
    assert told(count, 4, is_modern=True)["structuredContent"] == 4
    assert "structuredContent" not in told(count, 4)
    assert (shown_output(count, is_modern=True), shown_output(count, is_modern=False)) == ({"type": "integer"}, {})
    assert shown_output(TYPED, is_modern=False) == {"type": "object"}


def test_a_refusal_tells_the_reason_and_the_remedy() -> None:
    refused = Delivered(Status.REFUSED, b"null", "over_limit", "amount above 100", "ask for approval", "rethink")
    result = outcome_result(OURS, refused, is_modern=False)
    assert result["isError"] is True
    facts = {"code": "over_limit", "reason": "amount above 100", "remedy": "ask for approval", "retry": "rethink"}
    assert result["structuredContent"] == facts
    for part in ("refused", "nothing was done", "amount above 100", "ask for approval", "over_limit"):
        assert part in text(result)


def test_an_effect_that_failed_is_said_not_to_have_happened() -> None:
    failed = Delivered(Status.FAILED, b"null", "not_happened", "no room is free", "", "rethink")
    assert text(outcome_result(FOREIGN, failed, is_modern=False)).startswith("it did not happen: no room is free")
    assert text(outcome_result(OURS, failed, is_modern=False)).startswith("failed: no room is free")


def test_a_doubt_is_told_as_one() -> None:
    result = outcome_result(FOREIGN, Delivered(Status.UNKNOWN, error="the hand died"), is_modern=False)
    assert result["isError"] is True
    assert result["structuredContent"]["code"] == "in_doubt"
    assert "nobody knows whether it happened" in text(result)
    assert "do not repeat it blindly" in text(result)


def test_a_failure_is_not_taken_for_a_declared_result() -> None:
    failed = Delivered(Status.FAILED, b"null", "failed", "no")
    assert "structuredContent" not in outcome_result(TYPED, failed, is_modern=False)
    count = ToolSpec("count", Effect.READ, output={"type": "integer"})
    assert "structuredContent" in outcome_result(count, failed, is_modern=False)
    assert "structuredContent" not in outcome_result(count, failed, is_modern=True)


WRAPPING = {"type": "object", "properties": {"result": {"type": "string"}}, "required": ["result"]}
"""What the official SDK makes of a tool that returns text."""
BOOK = ToolSpec("crm.book", server="crm", output=WRAPPING)


@pytest.mark.parametrize("is_modern", [False, True])
def test_what_a_person_said_of_a_tool_with_an_output_schema_fits_it(is_modern: bool) -> None:
    for said in ("booked", {"result": "booked"}):
        assert told(BOOK, said, is_modern=is_modern)["structuredContent"] == {"result": "booked"}
    assert text(told(BOOK, "booked", is_modern=is_modern)) == "booked"


def test_a_person_who_wrote_an_answer_without_its_structured_content_is_understood() -> None:
    content = [{"type": "text", "text": "booked"}]
    assert told(BOOK, {"content": content}) == {"content": content, "structuredContent": {"result": "booked"}}
    assert told(BOOK, {"content": content, "isError": True}) == {"content": content, "isError": True}
    two = {"content": [*content, *content]}
    assert told(BOOK, two) == two


def test_a_result_that_does_not_fit_is_told_as_done_in_an_error_that_no_client_checks() -> None:
    result = told(BOOK, 7)
    assert result["isError"] is True
    assert "structuredContent" not in result
    for part in ("it was done", "does not fit", "7", "do not repeat it", "misfit_result"):
        assert part in text(result)
