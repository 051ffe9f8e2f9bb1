"""Names of tools as a client sees them: bare where that is unique, and fit for every model's interface."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from comity.journal.spec import ToolSpec

NAME_CHARS_MAX = 64
"""Longer names no model interface takes."""
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


def original_name(spec: ToolSpec) -> str:
    """Return the name that a tool has at its own server."""
    return spec.name.removeprefix(f"{spec.server}.") if spec.server else spec.name


def shown_names(tools: Iterable[ToolSpec], taken: Collection[str] = ()) -> dict[str, ToolSpec]:
    """Return the tools by the names that clients see, in the order of these names.

    A bare name that several tools have, or that is among `taken`, becomes `server_tool` for all tools of servers. What
    clashes even so gets a few digits of its full name's hash. The order of `tools` does not matter.
    """
    known = sorted(tools, key=lambda spec: (bool(spec.server), spec.name))
    count = Counter(_fit(original_name(spec)) for spec in known)
    names: dict[str, ToolSpec] = {}
    for spec in known:
        bare = _fit(original_name(spec))
        wanted = bare if count[bare] == 1 or not spec.server else _fit(f"{spec.server}_{original_name(spec)}")
        if wanted in taken and spec.server:
            wanted = _fit(f"{spec.server}_{original_name(spec)}")
        names[next(name for name in _distinct(wanted, spec) if name not in names and name not in taken)] = spec
    return dict(sorted(names.items()))


def names_at(server: str, tools: Iterable[ToolSpec]) -> dict[str, ToolSpec]:
    """Return the tools of one server by the names that they have there."""
    return dict(sorted((original_name(spec), spec) for spec in tools if spec.server == server))


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name)[:NAME_CHARS_MAX] or "_"


def _distinct(wanted: str, spec: ToolSpec) -> Iterator[str]:
    yield wanted
    digits = hashlib.sha256(spec.name.encode()).hexdigest()
    for size in range(6, NAME_CHARS_MAX - 1):
        yield f"{wanted[: NAME_CHARS_MAX - 1 - size]}_{digits[:size]}"
