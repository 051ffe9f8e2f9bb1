"""What a model call that came in by the gateway records as its outcome: the upstream's answer, as it was sent."""

from __future__ import annotations

import msgspec

from comity.core.codec import canonical

WIRES = ("chat", "responses", "messages")
"""The formats: OpenAI's Chat Completions and Responses, Anthropic's Messages."""
SSE = "text/event-stream"


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An upstream's answer: `body` is the text of a JSON object, or of a whole event stream where `type` says so.

    A `status` from 400 on is an answer too: the request itself was refused, and would be again. `fell_over` tells
    which upstreams were asked before `upstream`, and how each failed: what answered is another model's thought.
    """

    body: str
    type: str = "application/json"
    status: int = 200
    upstream: str = ""
    fell_over: tuple[str, ...] = ()

    @property
    def is_stream(self) -> bool:
        """Tell whether the body is an event stream."""
        return self.type.startswith(SSE)


_decode = msgspec.json.Decoder(Answer).decode


def answer_bytes(answer: Answer) -> bytes:
    """Return an answer as canonical JSON."""
    return canonical(msgspec.to_builtins(answer), "answer")


def read_answer(value: bytes) -> Answer:
    """Return the answer that `value` (canonical JSON) holds."""
    return _decode(value)
