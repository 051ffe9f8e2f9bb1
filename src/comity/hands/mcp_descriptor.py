"""The descriptor of a tool: what an MCP server says of it, and so what its callers believe.

Whoever changes it changes what a program will do with the tool; so the digest of what was accepted is kept, and another
descriptor waits until a person has looked at it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from comity.core.codec import canonical
from comity.journal.spec import ToolSpec


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an MCP server says of one tool, under MCP's names but for `input` and `output`, the two JSON Schemas."""

    name: str
    title: str = ""
    description: str = ""
    input: dict[str, Any] = {}
    output: dict[str, Any] = {}
    annotations: dict[str, Any] = {}

    @property
    def digest(self) -> str:
        """Return SHA-256 of all that it says, in hex."""
        return hashlib.sha256(canonical(msgspec.to_builtins(self), "descriptor")).hexdigest()

    def spec(self, server: str) -> ToolSpec:
        """Return the tool as one of `server`, of the strictest class: its server has no say in that."""
        return ToolSpec(
            f"{server}.{self.name}",
            description=self.description,
            schema=self.input,
            server=server,
            title=self.title,
            output=self.output,
            annotations=self.annotations,
        )
