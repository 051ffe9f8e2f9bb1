"""Rehearsal: the agents of a world explored before production, with the objects that judge them in production.

Names are resolved on first use, since pytest imports the plug-in in every project.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comity.rehearsal.against import Conflict, conflicts
    from comity.rehearsal.asserting import assert_coordinated, assert_replay_holds
    from comity.rehearsal.code_replay import Branching
    from comity.rehearsal.recorded import calls_of
    from comity.rehearsal.rehearsing import Options, rehearse, stage_of
    from comity.rehearsal.report import Fix, Report, SubsetResult
    from comity.rehearsal.trace import Trace, replay

__all__ = [
    "Branching",
    "Conflict",
    "Fix",
    "Options",
    "Report",
    "SubsetResult",
    "Trace",
    "assert_coordinated",
    "assert_replay_holds",
    "calls_of",
    "conflicts",
    "rehearse",
    "replay",
    "stage_of",
]

_HOME = {
    "Branching": "code_replay",
    "Conflict": "against",
    "Fix": "report",
    "Options": "rehearsing",
    "Report": "report",
    "SubsetResult": "report",
    "Trace": "trace",
    "assert_coordinated": "asserting",
    "assert_replay_holds": "asserting",
    "calls_of": "recorded",
    "conflicts": "against",
    "rehearse": "rehearsing",
    "replay": "trace",
    "stage_of": "rehearsing",
}


def __getattr__(name: str) -> Any:
    """Load the module that holds `name`."""
    if name not in _HOME:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
