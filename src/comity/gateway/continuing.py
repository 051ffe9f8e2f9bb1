"""A Responses request that goes on from a response which the provider is to remember: here, the journal remembers it.

The request becomes one that says all of its conversation, so that it does not depend on what an upstream keeps, and
its context is journaled like any other.
"""

from __future__ import annotations

from comity.gateway.refusal import Refusal
from comity.gateway.visit import Visit
from comity.journal.wire import Answer
from comity.models import body as json
from comity.models.format import RequestParts, WireFormat


async def made_whole(visit: Visit, wire: WireFormat, parts: RequestParts) -> RequestParts:
    """Return a request that names no earlier response; one that names one gets its conversation put in front.

    Raises:
        Refusal: the response is none of this program's.
    """
    if not parts.previous:
        return parts
    known = visit.thoughts.responses.get(parts.previous)
    if known is None:
        text = f"there is no response `{parts.previous}` in this task"
        hint = "send the whole conversation as `input`: responses of other tasks and providers are not kept here"
        raise Refusal(400, "previous_response_not_found", text, hint)
    head, answer = known
    said = await visit.messages(head)
    rest = json.fields(parts.rest, "rest")
    del rest["previous_response_id"]
    messages = (*_listed(said), *_output(wire, answer), *_listed(parts.messages))
    return wire.take_apart(wire.put_together(parts.model, messages, json.joined(rest)))


def _output(wire: WireFormat, answer: Answer) -> tuple[bytes, ...]:
    plain = wire.to_plain(answer) if answer.is_stream else answer
    return json.items(json.fields(plain.body.encode(), "answer").get("output", b"[]"), "output")


def _listed(messages: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return messages as a list holds them: a request whose `input` is text has one that is a string."""
    return tuple(b'{"role":"user","content":%s}' % item if item[:1] == b'"' else item for item in messages)
