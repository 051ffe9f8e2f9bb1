"""Names that stand for many: patterns of models and tools, as `comity.toml` and grants write them."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def is_named(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether one of `patterns` (shell patterns: `*`, `?`, `[abc]`) stands for `name`; case counts."""
    return any(pattern == name or fnmatchcase(name, pattern) for pattern in patterns)
