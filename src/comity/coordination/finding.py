"""What an act means for an invariant."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, gc=False):
    """What an act means for an invariant.

    `breaks`: some world would be broken by it; `alone`: also if nothing that is in flight happens. `is_unknown`: a
    field that it needs has no value. `is_broken`: it is false already, by what is known; `improves`: the act makes it
    less so, and no world worse. `presses`: it takes room that somebody else may wait for.
    """

    breaks: bool = False
    alone: bool = False
    is_unknown: bool = False
    is_broken: bool = False
    improves: bool = False
    presses: bool = False
    condition: str = ""


NOTHING = Finding()
"""The act means nothing for the invariant."""
