"""The short codes under which entries keep their kind and phase. They never change meaning; new ones are added.

What has no code is stored in full behind an equals sign, so that a word nobody foresaw is kept all the same.
"""

from __future__ import annotations

_KINDS = {
    "task": "a",
    "tool": "t",
    "model": "m",
    "timer": "z",
    "signal": "s",
    "human": "h",
    "spawn": "p",
    "child": "c",
    "now": "n",
    "random": "r",
    "decision": "d",
    "continue": "e",
    "world": "w",
    "": "",
}
_PHASES = {
    "note": "",
    "intent": "i",
    "outcome": "o",
    "refused": "f",
    "waiting": "w",
    "resolved": "r",
    "evidence": "e",
    "verified": "v",
    "asked": "a",
}
_KIND_OF = {code: kind for kind, code in _KINDS.items()}
_PHASE_OF = {code: phase for phase, code in _PHASES.items()}


def kind_code(kind: str) -> str:
    """Return the code of an entry's kind."""
    return _KINDS.get(kind) or (f"={kind}" if kind else "")


def kind_of(code: str) -> str:
    """Return the kind that `code` stands for."""
    return _KIND_OF[code] if code in _KIND_OF else code.removeprefix("=")


def phase_code(phase: str) -> str:
    """Return the code of an entry's phase."""
    code = _PHASES.get(phase)
    return f"={phase}" if code is None else code


def phase_of(code: str) -> str:
    """Return the phase that `code` stands for."""
    return _PHASE_OF[code] if code in _PHASE_OF else code.removeprefix("=")
