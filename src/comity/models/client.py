"""A client of one upstream: sends a request, reads the answer, and knows what each failure means.

A permit lets one attempt start. A busy upstream (429, 503) made nothing, so the request may be sent again, but only
while the permit lasts. Redirects are not followed, the proxy variables and .netrc of the environment are not read, and
the key is in the header only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import ComityError, LeaseError, UsageError
from comity.journal.call import Permit
from comity.journal.protocol import Delta
from comity.models import failure
from comity.models.reading import Reading
from comity.models.settings import Upstream

TRIES_MAX = 4
BACKOFF_S = 0.5
"""The pause after the first busy answer; it doubles with each, and chance adds up to a quarter."""
ERROR_BYTES_MAX = 65_536
CONNECTIONS_MAX = 1_000
DRAIN_S = 0.25
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
        self._http: httpx2.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def stream(
        self, permit: Permit, request: UpstreamRequest, make_reading: Callable[[], Reading], tries_max: int = TRIES_MAX
    ) -> AsyncGenerator[Delta]:
        """Yield what the reading makes of the answer; the last delta comes after the connection was given back.

        Raises:
            ComityError: one of `failure`'s; LeaseError where the permit ran out before anything was sent.
        """
        key = self._key()
        url, headers = self.upstream.base_url.rstrip("/") + request.path, self._headers(key, request.headers)
        for tries in range(1, tries_max + 1):
            self._look_at(permit)
            reading = make_reading()
            error: ComityError | None = None
            answer: Delta | None = None
            with self._mapped(key):
                posted = self._open().stream("POST", url, content=request.body, headers=headers)
                async with posted as response:
                    if response.is_success:
                        async for delta in _deltas(response, reading):
                            yield delta
                    else:
                        answer, error = await self._refusal(response, reading, key)
            if error is None:
                for delta in reading.end() if answer is None else (answer,):
                    yield delta
                return
            if tries == tries_max:
                raise error
            await self._back_off(error, response, tries, permit)

    async def _back_off(self, error: ComityError, response: httpx2.Response, tries: int, permit: Permit) -> None:
        """Wait before the next try; raise `error` where it is not worth one, or the permit does not cover it."""
        chance = int.from_bytes(self._entropy.take(2), "big") / 65_535
        pause_s = max(BACKOFF_S * 2 ** (tries - 1) * (1 + chance / 4), self._retry_after_s(response))
        is_covered = self._clock.monotonic_s() + pause_s < permit.expires_s
        if error.code != "model_busy" or not is_covered:
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

    async def _refusal(
        self, response: httpx2.Response, reading: Reading, key: str
    ) -> tuple[Delta | None, ComityError | None]:
        """Return what a status other than 2xx is: an answer all the same, or an error."""
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > ERROR_BYTES_MAX:
                break
        shown = bytes(body[:ERROR_BYTES_MAX])
        if key:
            shown = shown.replace(key.encode(), b"[hidden]")
        answer = reading.refused(response.status_code, shown)
        return answer, None if answer else failure.refused(self.name, response.status_code, shown)

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

    def _open(self) -> httpx2.AsyncClient:
        if self._http is None:
            upstream = self.upstream
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
            raise failure.timed_out(self.name, self.upstream.timeout_s) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise failure.broken(f"upstream `{self.name}`: {type(error).__name__}") from None


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable()


async def _deltas(response: httpx2.Response, reading: Reading) -> AsyncIterator[Delta]:
    """Yield what may go on of an answer as it comes."""
    reading.begin(response.headers.get("content-type", ""))
    chunks = response.aiter_bytes()
    try:
        async for chunk in chunks:
            for delta in reading.feed(chunk):
                yield delta
            if reading.is_done:
                break
    except httpx2.HTTPError:
        if not reading.is_whole:
            raise
    await _drain(chunks)


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read on to the end of the body, which lets the connection be used again; never wait for it, nor fail by it."""
    with suppress(TimeoutError, httpx2.HTTPError, httpx2.StreamError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in chunks:
                pass
