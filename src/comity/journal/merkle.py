"""The Merkle tree over the log's leaves: root, inclusion and consistency proofs, and how an outsider verifies them.

A leaf is SHA-256(0x00 ‖ entry) (`journal.entry.leaf`), a node SHA-256(0x01 ‖ left ‖ right); a tree of n leaves splits
at the largest power of two below n. Source: RFC 6962, §2.1; verification as in RFC 9162, §2.1.3.2 and §2.1.4.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from comity.core.codec import Digest

EMPTY_ROOT: Digest = hashlib.sha256().digest()
"""The root of the tree without leaves."""


def node(left: Digest, right: Digest) -> Digest:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the roots of its full subtrees, largest first. Enough to go on from."""

    def __init__(self, size: int = 0, peaks: Sequence[Digest] = ()) -> None:
        """Go on from a tree of `size` leaves; there is one peak for each one bit of `size`."""
        assert len(peaks) == size.bit_count(), "a frontier has one peak for each one bit of its size"
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaves: Iterable[Digest]) -> None:
        """Add leaves. Cost: O(1) a leaf on average."""
        for leaf in leaves:
            right = leaf
            level = self.size
            while level & 1:
                right = node(self.peaks.pop(), right)
                level >>= 1
            self.peaks.append(right)
            self.size += 1

    def root(self) -> Digest:
        """Return the root."""
        if not self.peaks:
            return EMPTY_ROOT
        found = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            found = node(peak, found)
        return found


def root(leaves: Sequence[Digest]) -> Digest:
    """Return the Merkle tree hash of `leaves`."""
    frontier = Frontier()
    frontier.append(leaves)
    return frontier.root()


def inclusion_proof(leaves: Sequence[Digest], index: int) -> list[Digest]:
    """Return the audit path of the leaf at `index`: PATH(m, D[n]) of the RFC, from the leaf upwards."""
    assert 0 <= index < len(leaves), f"leaf `{index}` is not in a tree of `{len(leaves)}`"
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root(leaves[:split])]


def consistency_proof(leaves: Sequence[Digest], first: int) -> list[Digest]:
    """Return what shows that the tree of the first `first` leaves is a prefix of this one: PROOF(m, D[n]) of the RFC.

    It is empty for an empty first tree, of which every tree is a continuation, and for the whole tree.
    """
    assert 0 <= first <= len(leaves), f"a tree of `{len(leaves)}` continues none of `{first}`"
    return _subproof(leaves, first, is_whole=True) if first else []


def _subproof(leaves: Sequence[Digest], first: int, *, is_whole: bool) -> list[Digest]:
    if first == len(leaves):
        return [] if is_whole else [root(leaves)]
    split = _split(len(leaves))
    if first <= split:
        return [*_subproof(leaves[:split], first, is_whole=is_whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], first - split, is_whole=False), root(leaves[:split])]


def verify_inclusion(leaf: Digest, index: int, size: int, proof: Sequence[Digest], expected: Digest) -> bool:
    """Tell whether `proof` shows that `leaf` stands at `index` of the tree of `size` leaves with root `expected`."""
    if not 0 <= index < size:
        return False
    place, last = index, size - 1
    found = leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node(sibling, found)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            found = node(found, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and found == expected


def verify_consistency(
    first: int, first_root: Digest, second: int, second_root: Digest, proof: Sequence[Digest]
) -> bool:
    """Tell whether `proof` shows that the tree of `second` leaves begins with the tree of `first`."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root and (first > 0 or first_root == EMPTY_ROOT)
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = first - 1, second - 1
    while place & 1:
        place >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node(sibling, old), node(sibling, new)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            new = node(new, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
