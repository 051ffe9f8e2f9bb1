"""A client of one upstream: sends a request, reads the answer, and knows what each failure means.

A permit lets one attempt start. A busy upstream (429, 503) made nothing, so the request may be sent again, but only
while the permit lasts. Redirects are not followed, the proxy variables and .netrc of the environment are not read, and
the key is in the header only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import ComityError, LeaseError, UsageError
from comity.journal.call import Permit
from comity.journal.protocol import Delta
from comity.models import failure
from comity.models.connection import Connection
from comity.models.pool import ConnectionPool
from comity.models.reading import Reading
from comity.models.settings import Upstream

TRIES_MAX = 4
BACKOFF_S = 0.5
"""The pause after the first busy answer; it doubles with each, and chance adds up to a quarter."""
ERROR_BYTES_MAX = 65_536
ANTHROPIC_VERSION = "2023-06-01"
"""The version of Anthropic's API that is asked for where the program names none."""
_HEADERS = {
    "content-type": "application/json",
    "accept": "text/event-stream, application/json",
    "accept-encoding": "identity",
    "user-agent": "comity",
}
_FORWARDED = {"openai": ("openai-beta",), "anthropic": ("anthropic-version", "anthropic-beta")}
"""Headers of a program that its upstream is sent."""


class UpstreamRequest(NamedTuple):
    """What is sent to an upstream: `path` is below its base URL, `headers` are the program's own."""

    path: str
    body: bytes
    headers: Mapping[str, str] = {}


class UpstreamClient:
    """A pool of connections to one upstream; it belongs to the event loop on which it is used first."""

    def __init__(
        self, name: str, upstream: Upstream, *, clock: Clock, entropy: Entropy, environment: Mapping[str, str]
    ) -> None:
        """Remember the upstream; nothing is opened, and no key read, before the first request."""
        self.name = name
        self.upstream = upstream
        self._clock = clock
        self._entropy = entropy
        self._environment = environment
        self._pool: ConnectionPool | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    async def stream(
        self, permit: Permit, request: UpstreamRequest, make_reading: Callable[[], Reading], tries_max: int = TRIES_MAX
    ) -> AsyncGenerator[Delta]:
        """Yield what the reading makes of the answer; the last delta comes after the connection was given back.

        Raises:
            ComityError: one of `failure`'s; LeaseError where the permit ran out before anything was sent.
        """
        key = self._key()
        headers = self._headers(key, request.headers)
        for tries in range(1, tries_max + 1):
            self._look_at(permit)
            reading, body = make_reading(), b""
            async with self._open().post(request.path, headers, request.body) as answer:
                if is_success := 200 <= answer.status < 300:
                    async for delta in _deltas(answer, reading):
                        yield delta
                else:
                    body = await _short_body(answer, key)
            if is_success:
                for delta in reading.end():
                    yield delta
                return
            if (refused := reading.refused(answer.status, body)) is not None:
                yield refused
                return
            error = failure.refused(self.name, answer.status, body)
            if tries == tries_max:
                raise error
            await self._back_off(error, answer.headers, tries, permit)

    async def _back_off(self, error: ComityError, headers: Mapping[bytes, bytes], tries: int, permit: Permit) -> None:
        """Wait before the next try; raise `error` where it is not worth one, or the permit does not cover it."""
        chance = int.from_bytes(self._entropy.take(2), "big") / 65_535
        pause_s = max(BACKOFF_S * 2 ** (tries - 1) * (1 + chance / 4), self._retry_after_s(headers))
        is_covered = self._clock.monotonic_s() + pause_s < permit.expires_s
        if error.code != "model_busy" or not is_covered:
            raise error
        await self._clock.sleep(pause_s)

    def _retry_after_s(self, headers: Mapping[bytes, bytes]) -> float:
        """Return for how long the server asks to be left alone; 0 where it does not say."""
        text, factor = _text(headers, b"retry-after-ms"), 0.001
        if not text:
            text, factor = _text(headers, b"retry-after"), 1.0
        if text.replace(".", "", 1).isdecimal() and text.isascii():
            return float(text) * factor
        try:
            return parsedate_to_datetime(text).timestamp() - self._clock.wall_us() / 1_000_000
        except (ValueError, OverflowError):
            return 0.0

    def _look_at(self, permit: Permit) -> None:
        if self._clock.monotonic_s() >= permit.expires_s:
            raise LeaseError("permit_expired", "the permit ran out before the model was asked", retry="redo")

    def _key(self) -> str:
        """Return the key, "" where the upstream needs none."""
        variable = self.upstream.api_key_env
        if not variable:
            return ""
        key = self._environment.get(variable, "").strip()
        if not key or not _is_header_value(key) or " " in key:
            state = "is not set" if not key else "holds what cannot be a key"
            text = f"upstream `{self.name}` needs a key, and the environment variable `{variable}` {state}"
            raise UsageError("no_api_key", text, hint=f"set `{variable}` where the node starts")
        return key

    def _headers(self, key: str, given: Mapping[str, str]) -> dict[str, str]:
        kind = self.upstream.kind
        headers = dict(_HEADERS)
        if kind == "anthropic":
            headers["anthropic-version"] = ANTHROPIC_VERSION
        for name in _FORWARDED[kind]:
            if name in given:
                if not _is_header_value(given[name]):
                    text = f"the header `{name}` holds what no header can hold"
                    raise UsageError("bad_request", text, hint="use printable ASCII")
                headers[name] = given[name]
        if key and kind == "anthropic":
            headers["x-api-key"] = key
        elif key:
            headers["authorization"] = f"Bearer {key}"
        return headers

    def _open(self) -> ConnectionPool:
        if self._pool is None:
            try:
                self._pool = ConnectionPool(self.name, self.upstream)
            except ValueError:
                text = f"upstream `{self.name}` cannot be asked: its `base_url` or `proxy` is malformed"
                raise ComityError("model_refused", text, hint="check the upstream's section in comity.toml") from None
        return self._pool


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip()


async def _deltas(answer: Connection, reading: Reading) -> AsyncIterator[Delta]:
    """Yield what may go on of an answer as it comes."""
    encoding = _text(answer.headers, b"content-encoding")
    if encoding not in {"", "identity"}:
        raise failure.broken(f"it is packed (`{encoding[:20]}`), though nobody asked for that")
    reading.begin(_text(answer.headers, b"content-type").lower())
    while not reading.is_done:
        try:
            chunk = await answer.read()
        except ComityError:
            if not reading.is_whole:
                raise
            return
        if not chunk:
            return
        for delta in reading.feed(chunk):
            yield delta


async def _short_body(answer: Connection, key: str) -> bytes:
    """Return the beginning of an error's body, which may name the key: without that."""
    body = bytearray()
    while len(body) < ERROR_BYTES_MAX and (chunk := await answer.read()):
        body += chunk
    shown = bytes(body[:ERROR_BYTES_MAX])
    return shown.replace(key.encode(), b"[hidden]") if key else shown
