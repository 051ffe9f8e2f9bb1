"""A streamed answer: its exact bytes, what it says, and how much of it may go out before its outcome is durable.

Text may. A tool call may not, nor the answer's end: who has seen these acts on them. What goes out is so always a
prefix of what is recorded.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from comity.core.codec import parse
from comity.core.errors import UsageError
from comity.core.limits import TOKENS_MAX
from comity.models.body import spelled
from comity.models.failure import broken
from comity.models.sse import EventReader, StreamEvent

ANSWER_BYTES_MAX = 64 * 1024 * 1024
TOOL_CALLS_MAX = 1_000

Finish = Literal["", "stop", "length", "tool_calls", "error"]
Fate = Literal["free", "held", "dropped"]
"""An event may go out at once; only after the outcome is durable, and all that follow with it; or never."""


class Proposal(NamedTuple):
    """A call that a model proposes: `arguments` are canonical JSON, or what the model wrote where that is no JSON."""

    name: str
    arguments: bytes
    id: str


class Thought(msgspec.Struct, frozen=True):
    """What an answer says. `tokens` are those in and out, as the upstream counted them; None where it did not."""

    text: str = ""
    reasoning: str = ""
    proposals: tuple[Proposal, ...] = ()
    response_id: str = ""
    finish: Finish = ""
    tokens: tuple[int, int] | None = None


class Step(NamedTuple):
    """What one event adds: whether it may go out, and the visible text in it."""

    fate: Fate
    text: str = ""


FREE = Step("free")
HELD = Step("held")
DROPPED = Step("dropped")


class Gathering(Protocol):
    """What the events of one answer add up to, in one format."""

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing of the answer is missing if its stream ends here."""
        ...

    @property
    def is_done(self) -> bool:
        """Tell whether the upstream said that nothing more follows."""
        ...

    def add(self, data: str) -> Step:
        """Take an event's data.

        Raises:
            ComityError: `model_broken`: it is no piece of an answer, or reports an error.
        """
        ...

    def whole(self, body: str) -> Step:
        """Take an answer that came in one piece, as JSON."""
        ...

    def thought(self) -> Thought:
        """Return what all of it says."""
        ...

    def message(self) -> dict[str, Any]:
        """Return the answer as the one object that the API gives without streaming."""
        ...


class StreamReader:
    """Takes an event stream's bytes, however they were cut."""

    def __init__(self, gathering: Gathering) -> None:
        """Start at the beginning of an answer."""
        self._events = EventReader()
        self._gathering = gathering
        self._kept: list[bytes] = []
        self._size = 0
        self._is_held = False
        self.said = ""
        """The visible text in what was fed last and may go out."""

    @property
    def is_done(self) -> bool:
        """Tell whether the upstream said that nothing more follows."""
        return self._gathering.is_done

    @property
    def is_whole(self) -> bool:
        """Tell whether the answer has ended properly."""
        return self._gathering.is_whole

    @property
    def body(self) -> bytes:
        """Return the stream so far, as it is recorded."""
        return b"".join(self._kept)

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes and return those that may go out now.

        Raises:
            ComityError: `model_broken`: they are no stream of an answer, or report an error.
        """
        self.said = ""
        return b"".join([event.raw for event in self._events.feed(chunk) if self._takes(event)])

    def end(self) -> None:
        """Take the end of the stream; what it completes goes out with the outcome."""
        self._is_held = True
        for event in self._events.end():
            self._takes(event)

    def thought(self) -> Thought:
        """Return what the answer says so far."""
        return self._gathering.thought()

    def _takes(self, event: StreamEvent) -> bool:
        """Keep an event; tell whether it may go out."""
        if self._gathering.is_done:
            return False
        fate, text = self._gathering.add(event.data) if event.data else FREE
        if fate == "dropped":
            return False
        self._size += len(event.raw)
        if self._size > ANSWER_BYTES_MAX:
            raise broken(f"it is larger than {ANSWER_BYTES_MAX} bytes")
        self._kept.append(event.raw)
        self._is_held = self._is_held or fate == "held"
        if not self._is_held:
            self.said += text
        return not self._is_held


def proposal(name: str, arguments: str, id: str) -> Proposal:
    """Return the proposal to call `name` with `arguments` as the model wrote them."""
    try:
        return Proposal(name, spelled(parse(arguments or "{}", "arguments")), id)
    except UsageError:
        return Proposal(name, arguments.encode(errors="replace"), id)


def tokens(tokens_in: Any, tokens_out: Any) -> tuple[int, int] | None:
    """Return the counts where both are such."""
    for value in (tokens_in, tokens_out):
        if type(value) is not int or not 0 <= value <= TOKENS_MAX:
            return None
    return tokens_in, tokens_out


def mended(text: str) -> str:
    """Return `text` with surrogate pairs joined that were sent in two pieces, and lone halves replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def event_of(value: Any, name: str = "") -> bytes:
    """Return an event with `value` as its JSON."""
    head = f"event: {name}\n".encode() if name else b""
    return b"%sdata: %s\n\n" % (head, msgspec.json.encode(value))
