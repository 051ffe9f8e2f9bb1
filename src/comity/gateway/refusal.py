"""A request that the gateway does not take; each door writes it in the format that the request came by."""

from __future__ import annotations


class Refusal(Exception):
    """Why a request is not taken: an HTTP status, a stable code, a sentence, and the way out.

    `is_final` tells the client that asking again brings the same; `retry_after_s` when it may ask again.
    """

    def __init__(
        self, status: int, code: str, message: str, hint: str = "", *, is_final: bool = True, retry_after_s: int = 0
    ) -> None:
        """Keep what is said."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.is_final = is_final
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers by which client libraries decide whether to ask again."""
        found = [(b"x-should-retry", b"false" if self.is_final else b"true")]
        if self.retry_after_s:
            found.append((b"retry-after", str(self.retry_after_s).encode()))
        return found


class Elsewhere(Exception):
    """The task is held by another node, at `url`: the request goes there."""

    def __init__(self, url: str) -> None:
        """Keep where."""
        super().__init__(url)
        self.url = url
