"""A client of one upstream: sends a Chat Completions request, streams the answer, and knows what each failure means.

A permit lets one attempt start. A busy upstream (429, 503) made nothing, so the request may be sent again, but only
while the permit lasts. Redirects are not followed, the proxy variables and .netrc of the environment are not read, and
the key is in the header only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import ComityError, LeaseError, UsageError
from comity.journal.call import Permit
from comity.journal.ports import ModelLimits
from comity.journal.protocol import Delta
from comity.models import failure
from comity.models.settings import Upstream
from comity.models.sse import EventReader
from comity.models.wire import ANSWER_CHARS_MAX, Assembly

TRIES_MAX = 4
BACKOFF_S = 0.5
"""The pause after the first busy answer; it doubles with each, and chance adds up to a quarter."""
ERROR_BYTES_MAX = 65_536
CONNECTIONS_MAX = 1_000
DRAIN_S = 0.25


class ChatClient:
    """A pool of connections to one upstream; it belongs to the event loop on which it is used first."""

    def __init__(
        self, name: str, upstream: Upstream, *, clock: Clock, entropy: Entropy, environment: Mapping[str, str]
    ) -> None:
        """Remember the upstream; nothing is opened, and no key read, before the first request."""
        self.name = name
        self._upstream = upstream
        self._clock = clock
        self._entropy = entropy
        self._environment = environment
        self._http: httpx2.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def stream(self, permit: Permit, body: bytes, limits: ModelLimits) -> AsyncGenerator[Delta]:
        """Yield the answer to `body`; the last delta comes after the connection was given back.

        Raises:
            ComityError: one of `failure`'s; LeaseError where the permit ran out before anything was sent.
        """
        key = self._key()
        for tries in range(1, TRIES_MAX + 1):
            self._look_at(permit)
            assembly = Assembly(limits)
            with self._mapped(key):
                async with self._open().stream("POST", self._url(), content=body, headers=_headers(key)) as response:
                    error = await self._refusal(response, key)
                    if error is None:
                        async for text in _texts(response, assembly):
                            yield Delta(text)
            if error is None:
                if not assembly.is_whole:
                    raise failure.broken("the stream ended early")
                yield assembly.last()
                return
            await self._back_off(error, response, tries, permit)

    async def _back_off(self, error: ComityError, response: httpx2.Response, tries: int, permit: Permit) -> None:
        """Wait before the next try; raise `error` where there is none, or none that the permit covers."""
        chance = int.from_bytes(self._entropy.take(2), "big") / 65_535
        pause_s = max(BACKOFF_S * 2 ** (tries - 1) * (1 + chance / 4), self._retry_after_s(response))
        is_covered = self._clock.monotonic_s() + pause_s < permit.expires_s
        if error.code != "model_busy" or tries == TRIES_MAX or not is_covered:
            raise error
        await self._clock.sleep(pause_s)

    def _retry_after_s(self, response: httpx2.Response) -> float:
        """Return for how long the server asks to be left alone; 0 where it does not say."""
        text, factor = response.headers.get("retry-after-ms", ""), 0.001
        if not text:
            text, factor = response.headers.get("retry-after", "").strip(), 1.0
        if text.replace(".", "", 1).isdecimal() and text.isascii():
            return float(text) * factor
        try:
            return parsedate_to_datetime(text).timestamp() - self._clock.wall_us() / 1_000_000
        except (ValueError, OverflowError):
            return 0.0

    async def _refusal(self, response: httpx2.Response, key: str) -> ComityError | None:
        """Return the error that the status means, None for 2xx."""
        if response.is_success:
            return None
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > ERROR_BYTES_MAX:
                break
        shown = bytes(body[:ERROR_BYTES_MAX])
        if key:
            shown = shown.replace(key.encode(), b"[hidden]")
        return failure.refused(self.name, response.status_code, shown)

    def _look_at(self, permit: Permit) -> None:
        if self._clock.monotonic_s() >= permit.expires_s:
            raise LeaseError("permit_expired", "the permit ran out before the model was asked", retry="redo")

    def _key(self) -> str:
        """Return the key, "" where the upstream needs none."""
        variable = self._upstream.api_key_env
        if not variable:
            return ""
        key = self._environment.get(variable, "").strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            state = "is not set" if not key else "holds what cannot be a key"
            text = f"upstream `{self.name}` needs a key, and the environment variable `{variable}` {state}"
            raise UsageError("no_api_key", text, hint=f"set `{variable}` where the node starts")
        return key

    def _url(self) -> str:
        return self._upstream.base_url.rstrip("/") + "/chat/completions"

    def _open(self) -> httpx2.AsyncClient:
        if self._http is None:
            upstream = self._upstream
            times = (upstream.timeout_s, upstream.connect_timeout_s)
            has_tls = "https" in {urlsplit(upstream.base_url).scheme, urlsplit(upstream.proxy).scheme}
            self._http = httpx2.AsyncClient(
                timeout=httpx2.Timeout(times[0], connect=times[1], pool=times[1]),
                limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=100),
                # A context without roots trusts nobody; loading those of the system takes long, for plain HTTP in vain.
                verify=httpx2.create_ssl_context() if has_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                proxy=upstream.proxy or None,
                trust_env=False,
                follow_redirects=False,
            )
        return self._http

    @contextmanager
    def _mapped(self, key: str) -> Iterator[None]:
        """Turn the transport's errors into ours: before anything was sent nothing happened, after that nobody knows."""
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError) as error:
            why = str(error) or type(error).__name__
            raise failure.unreachable(self.name, why.replace(key, "[hidden]") if key else why) from None
        except (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.InvalidURL):
            text = f"upstream `{self.name}` cannot be asked: its `base_url` or key is malformed"
            raise ComityError("model_refused", text, hint="check the upstream's section in comity.toml") from None
        except httpx2.TimeoutException:
            raise failure.timed_out(self.name, self._upstream.timeout_s) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise failure.broken(f"upstream `{self.name}`: {type(error).__name__}") from None


async def _texts(response: httpx2.Response, assembly: Assembly) -> AsyncIterator[str]:
    """Yield the answer's text, piece by piece; an answer that came whole, as one piece."""
    if "json" in response.headers.get("content-type", ""):
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_CHARS_MAX:
                raise failure.broken(f"it is larger than {ANSWER_CHARS_MAX} bytes")
        if text := assembly.add(body.decode(errors="replace")):
            yield text
        return
    chunks = response.aiter_bytes()
    try:
        async for data in _events(chunks):
            if text := assembly.add(data):
                yield text
            if assembly.is_done:
                break
    except httpx2.HTTPError:
        if not assembly.is_whole:
            raise
    await _drain(chunks)


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    reader = EventReader()
    async for chunk in chunks:
        for event in reader.feed(chunk):
            if event.data:
                yield event.data
    for event in reader.end():
        if event.data:
            yield event.data


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read on to the end of the body, which lets the connection be used again; never wait for it, nor fail by it."""
    with suppress(TimeoutError, httpx2.HTTPError, httpx2.StreamError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in chunks:
                pass


def _headers(key: str) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream, application/json",
        "accept-encoding": "identity",
        "user-agent": "comity",
    }
    return headers | {"authorization": f"Bearer {key}"} if key else headers
