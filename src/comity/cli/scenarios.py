"""The scenarios that ship with Comity: where they are, their world files, and the driver that runs them live."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import comity
from comity.core.errors import UsageError

_PACKAGE: Final = Path(comity.__file__).resolve().parent


def scenarios_folder() -> Path:
    """Return the folder of the scenarios: in the wheel beside this package, in a checkout at its top.

    Raises:
        UsageError: this installation has none.
    """
    for folder in (_PACKAGE / "scenarios", _PACKAGE.parent.parent / "scenarios"):
        if (folder / "drive.py").is_file():
            return folder
    raise UsageError("no_scenarios", "this installation has no scenarios", hint="install the wheel, or use a checkout")


def slugs() -> tuple[str, ...]:
    """Return the names of all scenarios."""
    return tuple(sorted(file.parent.name for file in scenarios_folder().glob("*/world.yaml")))


def world_file(slug: str, variant: str = "world") -> Path:
    """Return a world file of a scenario: `world` (the harm), `benign`, and where there are `remedy` and `live`.

    Raises:
        UsageError: there is none.
    """
    file = scenarios_folder() / slug / f"{variant}.yaml"
    if slug not in slugs():
        hint = f"there are {', '.join(slugs())}"
        raise UsageError("no_such_scenario", f"there is no scenario `{slug[:60]}`", hint=hint)
    if not file.is_file():
        there = ", ".join(sorted(item.stem for item in file.parent.glob("*.yaml")))
        raise UsageError("no_such_scenario", f"scenario `{slug}` has no `{variant[:60]}.yaml`", hint=f"it has {there}")
    return file


def driver() -> ModuleType:
    """Return the module that runs scenarios live: `LIVE`, `play`, `play_async`, `Live`, `Outcome`."""
    folder = str(scenarios_folder())
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("drive")
