"""The decision record: what was weighed when an agent chose. Written from the start; judged by governance later."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that could have been done."""

    id: str
    action: str = ""
    params_sha256: str = ""
    cost: str = ""
    effect: str = ""


class Factor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fact that was weighed: where it came from, which way it pointed, when it was observed (RFC 3339)."""

    name: str
    source: str = ""
    version: str = ""
    value: Any = None
    weight: float = 0.0
    direction: Literal["for", "against", "neutral"] = "neutral"
    observed_at: str = ""


class Argument(msgspec.Struct, frozen=True, omit_defaults=True):
    """An edge of the argument graph: from a factor to an option, for or against it."""

    factor: str
    option: str
    pro: bool
    why: str = ""


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """A deliberation: the issue, what could be done, what was chosen and why not the rest."""

    issue: str
    options: tuple[Option, ...]
    chosen: str
    factors: tuple[Factor, ...] = ()
    arguments: tuple[Argument, ...] = ()
    rejected: dict[str, str] = {}
    confidence: float | None = None
    assumptions: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    reads: dict[str, str] = {}
    issued_at_us: int = 0
    ttl_s: float | None = None
    revalidate_if: tuple[str, ...] = ()
    supersedes: str = ""
    provenance: dict[str, str] = {}
