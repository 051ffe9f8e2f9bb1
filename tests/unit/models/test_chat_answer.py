"""What streams add up to, however they are cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.core.codec import canonical
from comity.core.errors import ComityError
from comity.journal.budget import Cost
from comity.journal.ports import ModelLimits
from comity.journal.protocol import Delta
from comity.models.reading import Words
from unit.models.recorded import DONE, TEXT, TEXT_SAID, TOOLS, TOOLS_CALLED, call, event, piece, usage

LIMITS = ModelLimits(100, None, 1.0, 10.0)


def assembled(stream: str | bytes, chunks: list[int] | None = None) -> tuple[str, Delta]:
    """Feed a stream, cut at `chunks`, and return its text and its last delta."""
    data = stream.encode() if isinstance(stream, str) else stream
    words = Words(LIMITS)
    words.begin("text/event-stream")
    cuts = [0, *sorted(chunks or []), len(data)]
    deltas = [delta for start, end in pairwise(cuts) for delta in words.feed(data[start:end])]
    *more, last = words.end()
    return "".join(delta.text for delta in (*deltas, *more)), last


def read(answer: str, type: str) -> None:
    words = Words(LIMITS)
    words.begin(type)
    words.feed(answer.encode())
    words.end()


def message(delta: Delta) -> dict[str, object]:
    assert canonical(json.loads(delta.message)) == delta.message
    return json.loads(delta.message)


def test_a_text_stream_adds_up_to_its_message_usage_and_end():
    said, last = assembled(TEXT)
    assert said == TEXT_SAID
    assert message(last) == {"role": "assistant", "content": TEXT_SAID}
    assert last.cost == Cost(11, 5, 61)
    assert last.finish == "stop"


def test_tool_calls_are_put_together_from_their_pieces():
    said, last = assembled(TOOLS)
    assert said == ""
    assert message(last) == {"role": "assistant", "content": None, "tool_calls": TOOLS_CALLED}
    assert last.finish == "tool_calls"


@given(st.lists(st.integers(0, len(TEXT.encode())), max_size=40), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_stream_says_the_same_however_it_is_cut_and_its_lines_end(cuts, end):
    data = TEXT.replace("\n", end).encode()
    assert assembled(data, cuts) == assembled(TEXT)


def test_a_stream_says_the_same_byte_by_byte():
    assert assembled(TOOLS, list(range(len(TOOLS.encode())))) == assembled(TOOLS)


def test_a_byte_order_mark_and_a_missing_last_blank_line_change_nothing():
    assert assembled("\ufeff" + TEXT.removesuffix(DONE) + "data: [DONE]", [1, 2]) == assembled(TEXT)


def test_a_stream_without_usage_has_no_cost():
    stream = event(piece({"content": "hi"})) + event(piece({}, "length")) + DONE
    assert assembled(stream)[1] == Delta("", canonical({"role": "assistant", "content": "hi"}), None, "length")


@pytest.mark.parametrize("counts", [{"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": 4}, {}])
def test_usage_that_makes_no_sense_is_no_usage(counts):
    assert assembled(event(piece({"content": "hi"}, "stop")) + event({"choices": [], "usage": counts}))[1].cost is None


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("function_call", "tool_calls"),
        ("content_filter", "error"),
    ],
)
def test_ends_have_one_vocabulary(reason, finish):
    assert assembled(event(piece({"content": "x"}, reason)))[1].finish == finish


def test_tool_calls_that_end_with_stop_end_with_tool_calls():
    assert assembled(event(piece({"tool_calls": [call(0, "a", "f", "{}")]}, "stop")))[1].finish == "tool_calls"


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "a", "f", "{}"), call(0, "b", "g", "{}")],
        [call(None, "a", "f", "{}"), call(None, "b", "g", "{}")],
        [call(None, "a", "f", "{"), call(None, arguments="}"), call(None, "b", "g", "{}")],
        [call(5, "a", "f", {}), call(9, "b", "g", "")],
    ],
)
def test_servers_that_number_tool_calls_badly_are_understood(pieces):
    stream = "".join(event(piece({"tool_calls": [item]})) for item in pieces) + event(piece({}, "tool_calls"))
    calls = message(assembled(stream)[1])["tool_calls"]
    assert [(item["id"], item["function"]) for item in calls] == [
        ("a", {"name": "f", "arguments": "{}"}),
        ("b", {"name": "g", "arguments": "{}"}),
    ]


def test_tool_calls_without_ids_get_ids_that_differ():
    stream = event(piece({"tool_calls": [call(0, None, "f"), call(1, None, "g")]}, "tool_calls"))
    assert [item["id"] for item in message(assembled(stream)[1])["tool_calls"]] == [
        "call_chatcmpl-1_0",
        "call_chatcmpl-1_1",
    ]


def test_a_character_sent_in_two_halves_is_one():
    halves = ("a\\ud83e", "\\udd9c!")
    stream = "".join(f'data: {{"choices":[{{"delta":{{"content":"{half}"}}}}]}}\n\n' for half in halves)
    said, last = assembled(stream + event(piece({}, "stop")))
    assert said == "a🦜!"
    assert message(last)["content"] == "a🦜!"


def test_half_a_character_is_replaced():
    stream = 'data: {"choices":[{"delta":{"content":"a\\ud83e"},"finish_reason":"stop"}]}\n\n'
    assert message(assembled(stream)[1])["content"] == "a\ufffd"


def test_reasoning_and_refusals_are_kept_and_are_no_text():
    stream = event(piece({"reasoning_content": "let me "})) + event(
        piece({"reasoning_content": "see", "refusal": "no"}, "stop")
    )
    said, last = assembled(stream)
    assert said == ""
    assert message(last) == {"role": "assistant", "content": "", "reasoning_content": "let me see", "refusal": "no"}


def test_content_that_comes_in_parts_is_joined():
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "yes"}]
    assert assembled(event(piece({"content": parts}, "stop")))[0] == "yes"


def test_only_the_first_choice_counts():
    other = piece({"content": "other"}, "stop")
    other["choices"][0]["index"] = 1
    assert assembled(event(other) + event(piece({"content": "first"}, "stop")))[0] == "first"


def test_an_answer_that_came_whole_is_understood():
    choices = [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]
    whole = {"id": "x", "choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    words = Words(LIMITS)
    words.begin("application/json; charset=utf-8")
    assert words.feed(json.dumps(whole).encode()) == ()
    said, last = words.end()
    assert (said.text, last.cost, message(last)["content"]) == ("hi", Cost(1, 2, 21), "hi")


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "[1]",
        '{"choices": 3}',
        '{"choices": [{"delta": {"content": 3}}]}',
        '{"error": {"message": "overloaded"}}',
        "[" * 99999,
        "{}",
    ],
)
@pytest.mark.parametrize("type", ["text/event-stream", "application/json"])
def test_what_is_no_piece_of_an_answer_breaks_it(data, type):
    with pytest.raises(ComityError) as caught:
        read(f"data: {data}\n\n" if "stream" in type else data, type)
    assert caught.value.code == "model_broken"
    assert caught.value.retry == "redo"


def test_answers_and_tool_calls_have_limits(monkeypatch):
    monkeypatch.setattr("comity.models.reading.ANSWER_BYTES_MAX", 10)
    with pytest.raises(ComityError, match="larger than 10 bytes"):
        assembled(event(usage(1, 1)))
    monkeypatch.undo()
    monkeypatch.setattr("comity.models.chat_answer.TOOL_CALLS_MAX", 1)
    with pytest.raises(ComityError, match="more than 1 tool calls"):
        assembled(event(piece({"tool_calls": [call(0, "a"), call(1, "b")]})))


def test_what_follows_the_end_is_not_heard():
    assert assembled(TEXT + event(piece({"content": "more"}))) == assembled(TEXT)
