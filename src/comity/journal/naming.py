"""Names and the patterns that stand for many of them, as grants and models use them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

_WILD = re.compile(r"[*?[]")
_TENANT = "default"


def is_pattern(name: str) -> bool:
    """Tell whether `name` stands for many names (`gpt-*`)."""
    return _WILD.search(name) is not None


def is_named(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether one of `patterns` is `name` itself or, in the shell's way (`*`, `?`, `[ab]`), stands for it."""
    return any(name == pattern or (is_pattern(pattern) and fnmatchcase(name, pattern)) for pattern in patterns)


def actor_name(tenant: str, agent: str) -> str:
    """Return an agent's name among those of all tenants: `NAME`, `TENANT/NAME` where the tenant is not the default one.

    No agent's name has a slash, so nobody has the name of another tenant's agent.
    """
    return agent if tenant == _TENANT else f"{tenant}/{agent}"


def is_principal(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether one of `patterns` names a principal: `agent:NAME` one of the default tenant, `*` whoever it is."""
    _, mark, own = name.rpartition("agent:")
    for pattern in patterns:
        before, marked, of = pattern.rpartition("agent:")
        if not marked and is_named(name, (pattern,)):
            return True
        is_own = is_named(own.rpartition("/")[2], (of.rpartition("/")[2],))
        if mark and marked and not before and is_own and is_named(tenant_of(own), (tenant_of(of),)):
            return True
    return False


def tenant_of(actor: str) -> str:
    """Return the tenant of an agent's name among those of all tenants, with or without `agent:` before it."""
    return actor.removeprefix("agent:").rpartition("/")[0] or _TENANT


def most_specific(name: str, patterns: Iterable[str]) -> str:
    """Return which of `patterns` speaks of `name`: itself, else the one with most literal characters; "" for none.

    Among equals the one that sorts first is taken, so that the answer never depends on their order.
    """
    found = sorted(pattern for pattern in patterns if is_named(name, (pattern,)))
    return name if name in found else max(found, key=_literal_chars, default="")


def _literal_chars(pattern: str) -> int:
    return len(re.sub(r"\[[^]]*\]|[*?]", "", pattern))
