"""A client of the API: requests with a body, answers of a type, problems as the errors that they are."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from comity.core.addresses import is_local
from comity.core.errors import ComityError, GovernanceError, StoreError, UsageError
from comity.runtime.config_upstreams import is_http
from comity.runtime.words import one_line
from comity.server.operation import ROOT, Method
from comity.server.problem import MEDIA_TYPE, Problem

T = TypeVar("T")

CONNECT_S: Final = 5.0
ANSWER_S: Final = 60.0
"""Longer than any answer takes: long polls end after 50 s."""


class ApiClient:
    """A connection to one server, as an async context manager; `token` may be set anew."""

    def __init__(self, url: str, token: str) -> None:
        """Speak to the server at `url` with an operator's or a task's token.

        Raises:
            UsageError: `url` is none, or would carry the token in the clear.
        """
        self.url = _checked(url)
        self.token = token
        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
        self._http = httpx2.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def request(
        self,
        method: Method,
        path: str,
        kind: type[T],
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> T:
        """Return the answer to a request.

        Args:
            method: of HTTP.
            path: below `/api/v1`, its parts made by `part`.
            kind: the type of the answer.
            body: what is sent as JSON; None is no body.
            query: parameters; a list is repeated.
            key: an idempotency key.

        Raises:
            ComityError: the server's error with its code, hint and retry; `no_server` where none answers, `cut_off`
                where the connection ended before the answer, so that nobody knows whether it was done.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            response = await self._http.request(
                method, f"{self.url}{ROOT}{path}", content=content, params=query, headers=headers
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            hint = "`comity up` starts one; `--server` and COMITY_SERVER say where it is"
            text = f"no server answers at `{self.url}`: {_why(error)}"
            raise ComityError("no_server", text, retry="redo", hint=hint) from None
        except httpx2.HTTPError as error:
            text = f"`{self.url}` broke off before it answered: {_why(error)}"
            raise ComityError("cut_off", text, retry="redo", hint="ask again") from None
        if not response.is_success:
            raise _error(self.url, response)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.MsgspecError as error:
            raise _foreign(self.url, str(error)) from None


def part(text: str) -> str:
    """Return `text` as a part of a path."""
    return quote(text, safe="")


def _checked(url: str) -> str:
    found = url.rstrip("/")
    if not is_http(found):
        hint = "for instance `http://127.0.0.1:7117`"
        raise UsageError("bad_server", f"`{one_line(url, 100)}` is not the URL of a server", hint=hint)
    if found.startswith("http:") and not is_local(urlsplit(found).hostname or ""):
        text = f"a token would travel to `{one_line(found, 100)}` in the clear"
        raise UsageError("bad_server", text, hint="use https")
    return found


def _error(url: str, response: httpx2.Response) -> ComityError:
    """Return the error that an answer tells of."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    try:
        problem = msgspec.json.decode(response.content, type=Problem) if kind == MEDIA_TYPE else None
    except msgspec.MsgspecError:
        problem = None
    if problem is None:
        return _foreign(url, f"it answered {response.status_code}")
    family: type[ComityError] = {401: GovernanceError, 403: GovernanceError, 503: StoreError}.get(
        problem.status, UsageError if problem.status < 500 else ComityError
    )
    return family(problem.code, problem.detail, retry=problem.retry, hint=problem.hint)


def _foreign(url: str, why: str) -> ComityError:
    text = f"`{url}` does not answer as a server of this version: {one_line(why, 200)}"
    return ComityError("foreign_answer", text, hint="look what listens there; `comity version` is to be the same")


def _why(error: httpx2.HTTPError) -> str:
    text = one_line(str(error) or type(error).__name__, 200)
    return text[:1].lower() + text[1:]
