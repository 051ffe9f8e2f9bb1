"""The pytest plug-in: `assert_coordinated("world.yaml")` in a test, or the fixture of that name.

With the fixture, a file is found beside the test, else from where pytest was started. What they stand on is loaded when
it is used: pytest imports this module in every project.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from comity.rehearsal.asserting import assert_coordinated, assert_replay_holds

__all__ = ["assert_coordinated", "assert_replay_holds"]

_HOME = "comity.rehearsal.asserting"


def __getattr__(name: str) -> Any:
    """Load what tests assert by on first use."""
    if name not in __all__:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(_HOME), name)


@pytest.fixture(name="assert_coordinated")
def _coordinated(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Give `assert_coordinated`, with paths from the test's folder."""
    folder = request.path.parent

    def check(world: str | os.PathLike[str], **options: Any) -> Any:
        __tracebackhide__ = True
        beside = folder / world
        return import_module(_HOME).assert_coordinated(beside if beside.exists() else world, **options)

    return check
