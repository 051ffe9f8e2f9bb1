"""Tool files: Python files of `@tool` functions, without agents, whose tools are offered at the gateway.

Their code is loaded in processes of its own, as an agent file's is; a file that was edited is read again.
"""

from __future__ import annotations

import logging

import msgspec

from comity.core.errors import UsageError
from comity.journal.spec import ToolSpec
from comity.runtime.config import Config
from comity.runtime.programs import Describe, configured, digest_of

RESERVED = "comity_"
"""How the names of Comity's own tools begin."""

log = logging.getLogger("comity.catalog")


class ToolFiles:
    """The tools of all files that `[server] tool_files` names."""

    def __init__(self, config: Config, describe: Describe) -> None:
        """Read files by `describe`; nothing is read before `load`."""
        self._config = config
        self._describe = describe
        self._digests: dict[str, str] = {}
        self._tools: dict[str, tuple[ToolSpec, ...]] = {}

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Return all tools; each knows its file."""
        return tuple(tool for tools in self._tools.values() for tool in tools)

    async def load(self) -> None:
        """Read every file.

        Raises:
            UsageError: one cannot be loaded, offers no tool, or two offer tools of one name.
        """
        for file in self._config.sections.server.tool_files:
            await self._read(file)

    async def reload(self) -> bool:
        """Read the files that were edited since; tell whether one was. A broken one stays as it was, and is logged."""
        edited = [file for file, known in self._digests.items() if digest_of(file) not in ("", known)]
        for file in edited:
            digest = digest_of(file)
            try:
                await self._read(file)
            except UsageError as error:
                log.warning("tool file stays as it was: %s", error.message)
                self._digests[file] = digest
        return bool(edited)

    async def _read(self, file: str) -> None:
        program = configured(await self._describe(file), self._config)
        if not program.tools:
            raise UsageError("no_tools", f"`{file}` offers no tool", hint="decorate a function with `@comity.tool`")
        taken = {tool.name: other for other, tools in self._tools.items() if other != file for tool in tools}
        for tool in program.tools:
            if tool.name in taken:
                text = f"`{file}` and `{taken[tool.name]}` both offer a tool `{tool.name}`"
                raise UsageError("two_of_one_name", text, hint='give one another name: `@tool(name="…")`')
            if tool.name.startswith(RESERVED):
                text = f"`{file}` offers a tool `{tool.name}`, and such names are Comity's own"
                raise UsageError("reserved_name", text, hint='give it another name: `@tool(name="…")`')
        self._tools[file] = tuple(msgspec.structs.replace(tool, file=file) for tool in program.tools)
        self._digests[file] = program.digest
