"""What is wrong with a world file: each problem with its line, its place, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

import msgspec

from comity.core.errors import UsageError

Path = tuple[str | int, ...]
"""Where a value stands: keys and positions from the top (`("tools", "drain", "touches", 0, "field")`)."""

PROBLEMS_SHOWN_MAX: Final = 100
_BARE: Final = re.compile(r"[^\s.\[\]\"'`]+")
_SHOWN_CHARS: Final = 60
_KNOWN_SHOWN: Final = 12


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: its line (0 where there is no file), the path of its value, what, and a way out."""

    line: int
    path: str
    message: str
    hint: str = ""


class WorldError(UsageError):
    """A world file that cannot be used: `problems` has all that was found, in the order of the file."""

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        """Keep the problems of the file `name`, of which there is at least one."""
        found = sorted(problems, key=lambda item: item.line)
        assert found, "an error has a cause"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        super().__init__("bad_world", told(name, found[0]) + more, hint=found[0].hint)
        self.name = name
        self.problems = tuple(found[:PROBLEMS_SHOWN_MAX])


def told(name: str, problem: Problem) -> str:
    """Return a problem as editors and pipelines read it: `file:line: path: message`."""
    where = f"{name}:{problem.line}" if problem.line else name
    return f"{where}: {problem.path}: {problem.message}" if problem.path else f"{where}: {problem.message}"


def shown(path: Path) -> str:
    """Return a path as people write it: `tools.drain.touches[0].field`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = cut(part)
            text += ("." if text else "") + (name if _BARE.fullmatch(name) else f'"{name}"')
    return text


def cut(text: object) -> str:
    """Return a value as a message may hold it: on one line, and not longer than people read."""
    line = " ".join(str(text).split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known name, else the first few of them; empty where there are none."""
    names = sorted(known)
    found = get_close_matches(name[:200], names[:2_000], 1)
    if found:
        return f"did you mean `{cut(found[0])}`?"
    first = ", ".join(f"`{cut(item)}`" for item in names[:_KNOWN_SHOWN])
    return f"there are: {first}{', …' if len(names) > _KNOWN_SHOWN else ''}" if names else ""
