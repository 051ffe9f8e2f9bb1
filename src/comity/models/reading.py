"""How an upstream's answer is read: as words for a conversation of the SDK, or as bytes for a program's own client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from comity.core.codec import canonical
from comity.core.errors import ComityError
from comity.journal.budget import NO_COST, Cost
from comity.journal.ports import ModelLimits
from comity.journal.protocol import Delta
from comity.journal.wire import SSE, Answer, answer_bytes
from comity.models.chat_answer import ChatAnswer
from comity.models.failure import broken, told
from comity.models.format import JSON, WireFormat
from comity.models.sse import EventReader, StreamEvent
from comity.models.stream import ANSWER_BYTES_MAX, Thought

REFUSALS = frozenset({400, 404, 413, 422})
"""What an upstream says of the request itself: it would say the same again."""


class Reading(Protocol):
    """Takes one answer's bytes, however they were cut."""

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing of the answer is missing if its bytes end here."""
        ...

    @property
    def is_done(self) -> bool:
        """Tell whether the upstream said that nothing more follows."""
        ...

    def begin(self, content_type: str) -> None:
        """Learn of what type the answer is."""
        ...

    def feed(self, chunk: bytes) -> Sequence[Delta]:
        """Take bytes; return what may go on at once.

        Raises:
            ComityError: `model_broken`: they are no piece of an answer.
        """
        ...

    def end(self) -> Sequence[Delta]:
        """Take the end; return what remains, the last delta with the message.

        Raises:
            ComityError: `model_broken`: the answer is not whole.
        """
        ...

    def refused(self, status: int, body: bytes) -> Delta | None:
        """Return the answer that a status from 400 on is, None where it is a failure."""
        ...


class Words:
    """An answer to a conversation of the SDK: its text piece by piece, then the message."""

    def __init__(self, limits: ModelLimits) -> None:
        """Start empty; `limits` hold the prices."""
        self._limits = limits
        self._answer = ChatAnswer()
        self._events = EventReader()
        self._whole: bytearray | None = None
        self._size = 0

    @property
    def is_whole(self) -> bool:
        """Tell whether the answer has ended."""
        return self._answer.is_whole

    @property
    def is_done(self) -> bool:
        """Tell whether the upstream said that nothing more follows."""
        return self._answer.is_done

    def begin(self, content_type: str) -> None:
        """Learn whether the answer is streamed."""
        self._whole = bytearray() if "json" in content_type else None

    def feed(self, chunk: bytes) -> Sequence[Delta]:
        """Take bytes; return the text in them."""
        self._size += len(chunk)
        if self._size > ANSWER_BYTES_MAX:
            raise too_large()
        if self._whole is not None:
            self._whole += chunk
            return ()
        return self._said(self._events.feed(chunk))

    def end(self) -> Sequence[Delta]:
        """Return the last delta: the message, why it ended, and its cost where usage was reported."""
        if self._whole is not None:
            text = self._answer.whole(self._whole.decode(errors="replace")).text
            said = [Delta(text)] if text else []
        else:
            said = self._said(self._events.end())
        if not self.is_whole:
            raise broken("the stream ended early")
        thought = self._answer.thought()
        message = canonical(self._answer.first_message(), "message")
        return [*said, Delta("", message, _cost(thought, self._limits), thought.finish)]

    def refused(self, status: int, body: bytes) -> Delta | None:
        """Return None: an agent is told of a refusal by an error."""
        return None

    def _said(self, events: Sequence[StreamEvent]) -> list[Delta]:
        texts = [self._answer.add(event.data).text for event in events if event.data and not self.is_done]
        return [Delta(text) for text in texts if text]


class Relay:
    """An answer to a program's own client: bytes that may go out early, then the `Answer` that is recorded."""

    def __init__(self, wire: WireFormat, rest: bytes, limits: ModelLimits, answer: Answer) -> None:
        """Read the answer to a request with this `rest`; `answer` names the upstream and what was asked before it."""
        self._wire = wire
        self._limits = limits
        self._answer = answer
        self._reader = wire.reader(rest)
        self._whole: bytearray | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether the answer has ended properly."""
        return self._reader.is_whole

    @property
    def is_done(self) -> bool:
        """Tell whether the upstream said that nothing more follows."""
        return self._reader.is_done

    def begin(self, content_type: str) -> None:
        """Learn whether the answer is streamed."""
        self._whole = None if content_type.startswith(SSE) else bytearray()

    def feed(self, chunk: bytes) -> Sequence[Delta]:
        """Take bytes; return those that may go out before the outcome is durable."""
        if self._whole is None:
            raw = self._reader.feed(chunk)
            return (Delta(self._reader.said, raw=raw),) if raw else ()
        self._whole += chunk
        if len(self._whole) > ANSWER_BYTES_MAX:
            raise too_large()
        return ()

    def end(self) -> Sequence[Delta]:
        """Return the answer as it is recorded."""
        if self._whole is not None:
            answer = self._of(JSON, bytes(self._whole))
            thought = self._wire.read(answer)
        else:
            self._reader.end()
            if not self._reader.is_whole:
                raise broken("the stream ended early")
            answer, thought = self._of(SSE, self._reader.body), self._reader.thought()
        return (Delta("", answer_bytes(answer), _cost(thought, self._limits), thought.finish),)

    def refused(self, status: int, body: bytes) -> Delta | None:
        """Return the answer where the request itself was refused: it is recorded, and costs nothing."""
        if status not in REFUSALS:
            return None
        if not _is_object(body):
            said, _ = told(body)
            text = f"upstream `{self._answer.upstream}` answered {status}" + (f": {said}" if said else "")
            body = self._wire.error_body(status, "model_refused", text)
        answer = msgspec.structs.replace(self._of(JSON, body), status=status)
        return Delta("", answer_bytes(answer), NO_COST, "error")

    def _of(self, content_type: str, body: bytes) -> Answer:
        try:
            return msgspec.structs.replace(self._answer, body=body.decode(), type=content_type)
        except UnicodeDecodeError:
            raise broken("it is no UTF-8") from None


def too_large() -> ComityError:
    """Return the error for an answer above the limit."""
    return broken(f"it is larger than {ANSWER_BYTES_MAX} bytes")


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _cost(thought: Thought, limits: ModelLimits) -> Cost | None:
    return None if thought.tokens is None else limits.cost(*thought.tokens)
