"""Load a world file: strict YAML (or JSON), every problem with its line and a way out, all of them at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path as File
from typing import Final

import msgspec

from comity.coordination.document import WorldDocument
from comity.coordination.loading_check import EnoughFlaws, Flaw, Flaws, check_dependencies, check_kinds, check_resources
from comity.coordination.loading_check_rehearsal import check_rehearsal
from comity.coordination.loading_check_rules import check_contracts, check_invariants
from comity.coordination.loading_check_tools import check_authority, check_detectors, check_readings, check_tools
from comity.coordination.loading_problem import Path, Problem, WorldError, shown
from comity.coordination.loading_shape import read_as
from comity.coordination.loading_yaml import WORLD_BYTES_MAX, read_yaml
from comity.core.errors import UsageError

LOOKS: Final = (
    *(check_resources, check_dependencies, check_invariants, check_contracts, check_tools, check_detectors),
    *(check_authority, check_readings, check_rehearsal),
)
_LEANED_ON: Final = ("", "kinds", "resources", "tools", "rehearsal")
"""Where a gap would make other parts look wrong."""


class LoadedWorld(msgspec.Struct, frozen=True):
    """A world file that was read and checked: its document, and the line on which each of its values stands.

    `name` is how the file is called in messages; `lines` has paths such as `("tools", "drain", "touches", 0)`.
    """

    document: WorldDocument
    name: str = ""
    text: str = ""
    lines: Mapping[Path, int] = {}

    def line(self, path: Path) -> int:
        """Return the line of a value, else of what is around it; 0 where the world is from no file."""
        return line_of(self.lines, path)


def load_world(path: str | os.PathLike[str], name: str = "") -> LoadedWorld:
    """Read and check the world file at `path`; messages call it `name`, else as it was given.

    Raises:
        UsageError: `no_such_file` or `world_unreadable`: it cannot be read.
        WorldError: what is wrong with it, line by line.
    """
    file, shown_as = File(path), name or str(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(WORLD_BYTES_MAX + 1)
    except FileNotFoundError:
        raise UsageError("no_such_file", f"there is no file `{shown_as}`", hint="give the path of a file") from None
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError("world_unreadable", f"`{shown_as}` cannot be read: {why}", hint="name a file") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) <= WORLD_BYTES_MAX:
            line = data.count(b"\n", 0, error.start) + 1
            raise WorldError(shown_as, [Problem(line, "", "it is not UTF-8", "save it as UTF-8")]) from None
        text = data.decode("utf-8", "replace")
    return read_world(text, shown_as)


def read_world(text: str, name: str = "world.yaml") -> LoadedWorld:
    """Read and check the text of a world file that messages call `name`.

    Raises:
        WorldError: what is wrong with it, line by line.
    """
    root, problems = read_yaml(text)
    if root is None:
        raise WorldError(name, problems)
    plain, shape = read_as(root, WorldDocument)
    problems += shape.problems
    if plain is None or not all(_stands_alone(problem) for problem in problems):
        raise WorldError(name, problems)
    try:
        document = msgspec.convert(plain, WorldDocument)
    except msgspec.ValidationError as error:
        raise WorldError(name, [*problems, Problem(1, "", str(error))]) from None
    for flaw in _flaws(document):
        problems.append(Problem(line_of(shape.lines, flaw.path), shown(flaw.path), flaw.message, flaw.hint))
    if problems:
        raise WorldError(name, problems)
    return LoadedWorld(document, name, text, shape.lines)


def check_document(document: WorldDocument) -> tuple[Problem, ...]:
    """Return what is wrong with a document that was built in Python; problems have paths, and no lines."""
    try:
        document = msgspec.convert(msgspec.to_builtins(document), WorldDocument)
    except (msgspec.ValidationError, TypeError) as error:
        return (Problem(0, "", str(error), "give each part the type that its struct says"),)
    return tuple(Problem(0, shown(flaw.path), flaw.message, flaw.hint) for flaw in _flaws(document))


def _stands_alone(problem: Problem) -> bool:
    """Tell whether the rest of the file can be judged in spite of a problem."""
    section = problem.path.partition(".")[0].partition("[")[0]
    return section in WorldDocument.__struct_fields__ and section not in _LEANED_ON


def _flaws(document: WorldDocument) -> list[Flaw]:
    flaws = Flaws(document)
    with suppress(EnoughFlaws):
        for look in LOOKS if check_kinds(flaws) else ():
            look(flaws)
    return flaws.found


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """Return the line of a path, else of the nearest one around it; 0 where there is none."""
    return next((lines[path[:size]] for size in range(len(path), -1, -1) if path[:size] in lines), 0)
