"""A conversation of the SDK on the wire: what is asked, byte for byte."""

from __future__ import annotations

import json

import pytest

from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.journal.ports import ModelRequest
from comity.models.chat_request import request_body
from comity.models.settings import Upstream

UPSTREAM = Upstream("http://127.0.0.1/v1")
HELLO = canonical({"role": "user", "content": "hello"})


def body(request: ModelRequest, upstream: Upstream = UPSTREAM) -> bytes:
    return request_body(request, "m-1", 100, upstream)


def test_messages_are_sent_byte_for_byte_in_a_body_of_one_order():
    odd = b'{"content":"\\u00e4 \\u003c","role":"user"}'
    tool = {"type": "function", "function": {"name": "pay", "parameters": {}}}
    request = ModelRequest("fast", (odd, HELLO), (tool,), {"top_p": 1, "temperature": 0})
    assert body(request) == (
        b'{"model":"m-1","messages":[' + odd + b"," + HELLO + b'],"tools":[{"type":"function","function":{"name":"pay",'
        b'"parameters":{}}}],"temperature":0,"top_p":1,"max_tokens":100,"stream":true,"stream_options":{"include_usage":true}}'
    )


@pytest.mark.parametrize(
    ("params", "cap"),
    [({}, 100), ({"max_tokens": 7}, 7), ({"max_completion_tokens": 8}, 8), ({"max_tokens": 999}, 100)],
)
def test_an_answer_is_never_longer_than_the_configuration_says(params, cap):
    sent = json.loads(body(ModelRequest("fast", (HELLO,), (), params)))
    assert sent["max_tokens"] == cap
    assert "max_completion_tokens" not in sent


@pytest.mark.parametrize(
    ("url", "setting", "name"),
    [
        ("https://api.openai.com/v1", "auto", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/v1", "auto", "max_completion_tokens"),
        ("https://models.example/v1", "auto", "max_tokens"),
        ("https://models.example/v1", "max_completion_tokens", "max_completion_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_server_knows(url, setting, name):
    sent = json.loads(body(ModelRequest("fast", (HELLO,)), Upstream(url, output_limit=setting)))
    assert sent[name] == 100


@pytest.mark.parametrize(
    "params", [{"stream": False}, {"model": "x"}, {"messages": []}, {"n": 2}, {"max_tokens": 0}, {"max_tokens": "9"}]
)
def test_what_is_not_an_authors_to_set_is_refused(params):
    with pytest.raises(UsageError) as caught:
        body(ModelRequest("fast", (HELLO,), (), params))
    assert caught.value.code == "bad_params"


def test_reasoning_is_sent_back_only_where_the_upstream_wants_it():
    thought = canonical({"role": "assistant", "content": "a", "reasoning_content": "b"})
    user = canonical({"role": "user", "content": 'say "reasoning_content":"x"'})
    request = ModelRequest("fast", (thought, user))
    kept = json.loads(body(request, Upstream(UPSTREAM.base_url, echo_reasoning=True)))
    assert kept["messages"][0]["reasoning_content"] == "b"
    sent = json.loads(body(request))
    assert sent["messages"] == [{"role": "assistant", "content": "a"}, json.loads(user)]
