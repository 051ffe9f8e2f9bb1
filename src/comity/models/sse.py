"""Server-sent events out of bytes, however they were cut. Source: WHATWG HTML, §9.2 (server-sent events)."""

from __future__ import annotations

import re
from typing import NamedTuple

from comity.models.failure import broken

EVENT_BYTES_MAX = 16 * 1024 * 1024
"""An event above this size ends the stream: it is no piece of a model's answer."""
_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_BOM = b"\xef\xbb\xbf"


class StreamEvent(NamedTuple):
    """An event: its bytes as they came, blank line and comments included, and its data ("" for a comment alone)."""

    raw: bytes
    data: str


class EventReader:
    """Turns chunks of a response into its events; their names and ids are passed over, since models' data has both."""

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self._rest = b""
        self._is_first = True

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events that `chunk` completes; together with the rest, their bytes are those that came.

        Raises:
            ComityError: `model_broken`: an event is too large, or no UTF-8.
        """
        seen = max(len(self._rest) - 3, 0)
        stream = self._rest + chunk if self._rest else chunk
        events: list[StreamEvent] = []
        start = 0
        for found in _BLANK_LINE.finditer(stream, seen):
            events.append(self._event(stream[start : found.end()]))
            start = found.end()
        self._rest = stream[start:] if start else stream
        _refuse_above(len(self._rest))
        return events

    def end(self) -> list[StreamEvent]:
        """Return what the end of the stream completes: some servers leave out the last blank line."""
        rest, self._rest = self._rest, b""
        return [self._event(rest)] if rest.strip() else []

    def _event(self, raw: bytes) -> StreamEvent:
        _refuse_above(len(raw))
        block = raw
        if self._is_first:
            self._is_first = False
            block = raw.removeprefix(_BOM)
        data = [line[5:].removeprefix(b" ") for line in block.splitlines() if line.startswith(b"data:")]
        try:
            return StreamEvent(raw, b"\n".join(data).decode())
        except UnicodeDecodeError:
            raise broken("an event of its stream is no UTF-8") from None


def _refuse_above(size: int) -> None:
    if size > EVENT_BYTES_MAX:
        raise broken(f"an event of its stream is larger than {EVENT_BYTES_MAX} bytes")
