"""Whether two texts say nearly the same: the Jaccard index of their sets of words."""

from __future__ import annotations

import re

SIMILAR_MIN = 0.9
SIMILAR_CHARS_MAX = 1_000_000
"""Longer texts are never similar, however alike they are: comparing is done while a program waits."""
_WORD = re.compile(r"\w+")


def similar(first: str, second: str) -> bool:
    """Tell whether nine of ten different words, in any case and order, are in both texts.

    Cost: linear in the texts, about 20 ms for a million characters.
    """
    if max(len(first), len(second)) > SIMILAR_CHARS_MAX:
        return False
    words, others = _words(first), _words(second)
    return len(words & others) >= SIMILAR_MIN * len(words | others)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
