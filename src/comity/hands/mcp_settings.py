"""What an operator says of an upstream MCP server: where it is, which secrets it sees, how far it is trusted.

It is a section of `comity.toml`, `[upstreams.NAME]` with `kind = "mcp"`. A secret is never here, only the name of the
environment variable that holds it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]


class McpUpstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An MCP server: a `command` that speaks over its standard streams, or a `url` (streamable HTTP).

    `env` names the environment variables that a command sees on top of the basics; `headers_env` gives a header of
    each request the value of an environment variable. `trust_annotations` takes the server's word for its tools'
    effect classes and reconciliations. A URL whose name leads to private addresses is refused unless `allow_private`.
    `timeout_s` is the longest silence of a call, `connect_timeout_s` how long the server may take to be ready, and
    `restart_max_s` the longest pause before one that failed is tried again.
    """

    kind: Literal["mcp"]
    command: tuple[str, ...] = ()
    url: str = ""
    env: tuple[str, ...] = ()
    headers_env: dict[str, str] = {}
    trust_annotations: bool = False
    allow_private: bool = False
    timeout_s: PositiveSeconds = 600.0
    connect_timeout_s: PositiveSeconds = 30.0
    restart_max_s: PositiveSeconds = 60.0

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the names of the environment variables that hold its secrets."""
        return (*self.env, *self.headers_env.values())
