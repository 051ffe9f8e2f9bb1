"""The ways to upstream MCP servers: processes of this node, and servers at a URL, through the guard.

Only a node that has upstreams loads this module: the `mcp` library takes long to import.
"""

from __future__ import annotations

from collections.abc import Mapping

from comity.core.errors import UsageError
from comity.hands.mcp_http import HttpWay
from comity.hands.mcp_link import Way
from comity.hands.mcp_settings import McpUpstream
from comity.hands.mcp_stdio import StdioWay
from comity.runtime.egress import GuardedTransport
from comity.runtime.kept import KeptProcess, KeptSettings, environment_of


class Ways:
    """Makes one way for each connection; secrets come from the node's environment, at that moment."""

    def __init__(self, environment: Mapping[str, str], settings: KeptSettings) -> None:
        """Give servers what is named of `environment`."""
        self._environment = environment
        self._settings = settings

    def __call__(self, name: str, upstream: McpUpstream) -> Way:
        """Return a way to the upstream of that name.

        Raises:
            UsageError: a header's variable is not set.
        """
        if upstream.url:
            headers = {header: self._value(name, variable) for header, variable in upstream.headers_env.items()}
            transport = GuardedTransport(named=upstream.url, allow_private=upstream.allow_private)
            return HttpWay(upstream.url, headers, transport, upstream.connect_timeout_s)
        seen = environment_of(upstream.env, self._environment)

        async def start() -> KeptProcess:
            return await KeptProcess.start(upstream.command, seen, f"server {name}", self._settings)

        return StdioWay(start, name)

    def _value(self, name: str, variable: str) -> str:
        value = self._environment.get(variable, "").strip()
        if not value or not value.isascii() or not value.isprintable():
            state = "holds what cannot be a header" if value else "is not set"
            text = f"upstream `{name}` needs the environment variable `{variable}`, which {state}"
            raise UsageError("no_header", text, hint=f"set `{variable}` where the node starts")
        return value


def secrets_of(upstreams: Mapping[str, McpUpstream], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return what servers are given and must not be told: values of variables, and the words of headers."""
    found: list[str] = []
    for upstream in upstreams.values():
        found += [environment.get(variable, "") for variable in upstream.variables]
        found += [word for variable in upstream.headers_env.values() for word in environment.get(variable, "").split()]
    return tuple(value for value in found if value)
