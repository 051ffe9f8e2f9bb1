"""What stands before every route: whom the request says it is for, and where it comes from.

A page that a browser was made to open may reach loopback under a name of its own (DNS rebinding): `Host` and `Origin`
tell. Source: the MCP specification's security warning for streamable HTTP.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from comity.core.errors import ComityError, GovernanceError
from comity.runtime.words import one_line
from comity.server.problem import problem_response


class Shield:
    """The outermost part of the app."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """Let through what is for this machine's loopback names or one of `hosts`."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it before anybody has looked at it."""
        headers = Headers(scope=scope)
        try:
            self._check(headers)
        except ComityError as error:
            await problem_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        """Refuse what was meant for another host, or comes from another's page.

        Raises:
            GovernanceError: it is.
        """
        hint = "add the name to `hosts` of `[server]`, where it is one of this server"
        hosts, origin = headers.getlist("host"), headers.get("origin")
        if len(hosts) != 1 or not self._is_ours(_name(hosts[0])):
            named = one_line(", ".join(hosts), 80)
            raise GovernanceError("foreign_host", f"`{named}` is not a name of this server", retry="never", hint=hint)
        if origin is not None and not self._is_ours(_name(origin.partition("://")[2])):
            text = f"requests from pages of `{one_line(origin, 80)}` are not taken"
            raise GovernanceError("foreign_origin", text, retry="never", hint=hint)

    def _is_ours(self, name: str) -> bool:
        return bool(name) and (name in self._hosts or is_loopback(name))


def is_loopback(name: str) -> bool:
    """Tell whether a host is this machine by an address or name that means no other."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(authority: str) -> str:
    """Return the host of `host[:port]`, in lower case; an empty string where there is none."""
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port
    except ValueError:
        return ""
    is_plain = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return parts.hostname or "" if is_plain else ""
