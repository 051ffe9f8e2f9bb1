"""What all wire formats have in common: requests taken apart, forwarded, masked; answers turned."""

from __future__ import annotations

import json

import pytest

from comity.core.errors import ComityError, UsageError
from comity.journal.spec import Outside
from comity.journal.wire import SSE, WIRES, Answer
from comity.models.format import RequestParts
from comity.models.formats import FORMATS
from comity.models.stream import Thought

FIELD = {"chat": "messages", "responses": "input", "messages": "messages"}
USER = b'{"role": "user", "content": "it is 12:30"}'
SYSTEM = b'{"role":"system","content":"now: 12:30"}'


def taken(wire: str, *messages: bytes, **rest: object) -> RequestParts:
    """Take a request apart."""
    more = "".join(f', "{name}": {json.dumps(value)}' for name, value in rest.items()).encode()
    body = b'{"model": "m", "%s": [%s]%s}' % (FIELD[wire].encode(), b", ".join(messages or (USER,)), more)
    return FORMATS[wire].take_apart(body)


def refused(wire: str, body: bytes) -> UsageError:
    with pytest.raises(UsageError) as caught:
        FORMATS[wire].take_apart(body)
    assert caught.value.hint
    return caught.value


def masked(wire: str, parts: RequestParts, *texts: str, fields: tuple[str, ...] = ()) -> bytes:
    return FORMATS[wire].masked(parts, Outside(volatile_text=texts, volatile_fields=fields))


@pytest.mark.parametrize("wire", WIRES)
def test_a_request_is_forwarded_as_it_was_written_but_for_its_model(wire):
    body = b'{"temperature": 1.0, "model": "m", "%s": [%s], "top_p":0.5}' % (FIELD[wire].encode(), USER)
    parts = FORMATS[wire].take_apart(body)
    assert (parts.model, parts.messages, parts.roles) == ("m", (USER,), ("user",))
    assert parts.rest == b'{"temperature":1.0,"top_p":0.5}'
    sent = FORMATS[wire].put_together("other", parts.messages, parts.rest)
    assert sent == b'{"model":"other","%s":[%s],"temperature":1.0,"top_p":0.5}' % (FIELD[wire].encode(), USER)
    alone = FORMATS[wire].put_together('"', parts.messages, b"{}")
    assert json.loads(alone) == {"model": '"', FIELD[wire]: [json.loads(USER)]}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"[]", "not_json"),
        (b'{"model":"m","model":"m","F":[U]}', "not_json"),
        (b'{"model":"m","F":[{"role":"user","content":"a","content":"b"}]}', "not_json"),
        (b'{"model":"m","F":[U],"metadata":{"a":1,"a":2}}', "not_json"),
        (b'{"model":"m","F":[U],"temperature":NaN}', "not_json"),
        (b'{"F":[U]}', "no_model"),
        (b'{"model":"","F":[U]}', "no_model"),
        (b'{"model":null,"F":[U]}', "no_model"),
        (b'{"model":3,"F":[U]}', "bad_request"),
        (b'{"model":"m"}', "no_messages"),
        (b'{"model":"m","F":[]}', "no_messages"),
        (b'{"model":"m","F":null}', "no_messages"),
        (b'{"model":"m","F":{}}', "bad_request"),
        (b'{"model":"m","F":["text"]}', "bad_request"),
        (b'{"model":"m","F":[U],"stream":"yes"}', "bad_request"),
    ],
)
def test_what_is_no_request_is_refused(wire, body, code):
    body = body.replace(b'"F"', f'"{FIELD[wire]}"'.encode()).replace(b"U", USER)
    assert refused(wire, body).code == code


@pytest.mark.parametrize("wire", WIRES)
def test_stream_flags_and_volatile_fields_do_not_make_another_request(wire):
    parts = taken(wire, temperature=1, user="a")
    assert masked(wire, parts) == masked(wire, taken(wire, temperature=1, user="a", stream=True))
    assert masked(wire, parts) == masked(wire, taken(wire, user="a", temperature=1, stream_options={}))
    assert masked(wire, parts) != masked(wire, taken(wire, temperature=1, user="b"))
    assert masked(wire, parts, fields=("user",)) == masked(wire, taken(wire, user="b", temperature=1), fields=("user",))


@pytest.mark.parametrize("wire", WIRES)
def test_only_system_texts_are_masked(wire):
    clock = r"\d\d:\d\d"
    later = SYSTEM.replace(b"12:30", b"12:31")
    asks_later = USER.replace(b"12:30", b"12:31")
    assert masked(wire, taken(wire, SYSTEM, USER)) != masked(wire, taken(wire, later, USER))
    assert masked(wire, taken(wire, SYSTEM, USER), clock) == masked(wire, taken(wire, later, USER), clock)
    assert masked(wire, taken(wire, SYSTEM, USER), clock) != masked(wire, taken(wire, SYSTEM, asks_later), clock)


@pytest.mark.parametrize("wire", WIRES)
def test_system_texts_in_parts_are_masked(wire):
    parts = [b'{"role":"developer","content":[{"type":"t","text":"12:3%d"},{"x":1}]}' % minute for minute in (0, 1)]
    one, other = (masked(wire, taken(wire, part, USER), r"12:\d\d") for part in parts)
    assert one == other


@pytest.mark.parametrize("wire", WIRES)
def test_another_spelling_of_the_same_request_is_the_same_request(wire):
    spaced = taken(wire, b'{"content" : "it is 12:30","role":"us\\u0065r"}')
    assert masked(wire, spaced) == masked(wire, taken(wire))
    assert masked(wire, taken(wire, USER, USER)) != masked(wire, taken(wire))


def test_requests_in_different_formats_are_different():
    digests = {masked(wire, taken(wire)) for wire in WIRES}
    assert len(digests) == 3


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_that_refuses_the_request_says_nothing_and_stays_as_it_is(wire):
    answer = Answer('{"error":{"message":"no"}}', status=400)
    assert FORMATS[wire].read(answer) == Thought()
    assert FORMATS[wire].to_stream(answer, b"{}") is answer
    assert FORMATS[wire].to_plain(answer) is answer


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "answer", [Answer("{}"), Answer("no"), Answer("data: {}\n\n", SSE), Answer("data: x\n\n", SSE)]
)
def test_an_answer_of_no_format_is_broken(wire, answer):
    if wire == "chat" and answer.body == "data: {}\n\n":
        return
    with pytest.raises(ComityError) as caught:
        FORMATS[wire].read(answer)
    assert caught.value.code == "model_broken"
