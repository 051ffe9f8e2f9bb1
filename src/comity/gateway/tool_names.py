"""Names of tools as frameworks write them: `book`, `mcp__crm__book` and `crm_book` may all mean `crm.book`."""

from __future__ import annotations

import re

_OTHER = re.compile(r"[^a-z0-9]+")


def plain(name: str) -> str:
    """Return a name in small letters and digits, with `_` for anything else."""
    return _OTHER.sub("_", name.casefold()).strip("_")


def means(function: str, tool: str) -> bool:
    """Tell whether a model's `function` may be `tool`, the name of a tool that is served (`SERVER.TOOL` or plain)."""
    said, bare = plain(function), plain(tool.rpartition(".")[2])
    return said in (bare, plain(tool)) or said.endswith(f"_{bare}")
