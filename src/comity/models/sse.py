"""Server-sent events out of bytes, however they were cut. Source: WHATWG HTML, §9.2 (server-sent events)."""

from __future__ import annotations

from comity.models.failure import broken

EVENT_BYTES_MAX = 16 * 1024 * 1024
"""An event above this size ends the stream: it is no piece of a model's answer."""


class EventReader:
    """Turns chunks of a response into the data of its events; names, ids and comments (keep-alives) are passed over."""

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._is_first = True

    def feed(self, chunk: bytes) -> list[str]:
        """Return the data of the events that `chunk` completes.

        Raises:
            ComityError: `model_broken`: an event is too large, or no UTF-8.
        """
        self._rest += chunk
        if self._is_first and len(self._rest) >= 3:
            self._is_first = False
            if self._rest.startswith(b"\xef\xbb\xbf"):
                del self._rest[:3]
        if len(self._rest) + self._size > EVENT_BYTES_MAX:
            raise broken(f"an event of its stream is larger than {EVENT_BYTES_MAX} bytes")
        lines, self._rest = _split(self._rest)
        return [text for line in lines if (text := self._line(line)) is not None]

    def end(self) -> list[str]:
        """Return what the end of the stream completes: some servers leave out the last blank line."""
        lines = [bytes(self._rest).rstrip(b"\r"), b""] if self._rest else [b""]
        self._rest = bytearray()
        return [text for line in lines if (text := self._line(line)) is not None]

    def _line(self, line: bytes) -> str | None:
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
                self._size += len(value)
            return None
        if not self._data:
            return None
        data, self._data, self._size = b"\n".join(self._data), [], 0
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise broken("an event of its stream is no UTF-8") from None


def _split(data: bytearray) -> tuple[list[bytes], bytearray]:
    """Return the whole lines of `data` (ended by LF, CR LF or CR) and the rest; a last CR may be half of CR LF."""
    if b"\n" not in data and b"\r" not in data:
        return [], data
    held = data.endswith(b"\r")
    text = bytes(data[:-1] if held else data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *lines, rest = text.split(b"\n")
    return lines, bytearray(rest + b"\r" if held else rest)
