"""The Merkle tree against the published vectors of Certificate Transparency, and against itself in every small size."""

from __future__ import annotations

import hashlib

import pytest

from comity.journal.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    root,
    verify_consistency,
    verify_inclusion,
)

# The reference inputs and roots of the Certificate Transparency project's test of RFC 6962 trees.
INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [hashlib.sha256(b"\x00" + bytes.fromhex(item)).digest() for item in INPUTS]
MANY = [hashlib.sha256(b"\x00" + bytes([number])).digest() for number in range(33)]


def test_the_empty_tree_has_the_hash_of_nothing():
    assert root([]) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int):
    assert root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_an_inclusion_proof_is_that_of_certificate_transparency():
    assert [step.hex() for step in inclusion_proof(LEAVES[:3], 2)] == [ROOTS[1]]
    assert [step.hex() for step in inclusion_proof(LEAVES, 0)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]


def test_a_consistency_proof_is_that_of_certificate_transparency():
    assert [step.hex() for step in consistency_proof(LEAVES, 1)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert consistency_proof(LEAVES, 8) == []


def test_every_leaf_of_every_small_tree_is_proven_and_nothing_else_is():
    for size in range(1, len(MANY) + 1):
        whole = root(MANY[:size])
        for index in range(size):
            proof = inclusion_proof(MANY[:size], index)
            assert verify_inclusion(MANY[index], index, size, proof, whole)
            assert not verify_inclusion(MANY[index - 1], index, size, proof, whole) or size == 1
            assert not verify_inclusion(MANY[index], index, size, [*proof, whole], whole)
            assert not verify_inclusion(MANY[index], index, size, proof[:-1], whole) or not proof
            assert not verify_inclusion(MANY[index], index + 1, size, proof, whole)
            assert not verify_inclusion(MANY[index], -1, size, proof, whole)
            assert not verify_inclusion(MANY[index], index, size, proof, EMPTY_ROOT)


def test_every_small_tree_continues_its_beginnings_and_nothing_else():
    for second in range(len(MANY) + 1):
        new = root(MANY[:second])
        for first in range(second + 1):
            old = root(MANY[:first])
            proof = consistency_proof(MANY[:second], first)
            assert verify_consistency(first, old, second, new, proof)
            assert not verify_consistency(first, old, second, new, [*proof, new])
            assert not verify_consistency(first, b"x" * 32, second, new, proof)
            if 0 < first < second:
                assert not verify_consistency(first, old, second, b"x" * 32, proof)
                assert not verify_consistency(first, old, second, new, proof[:-1])
                assert not verify_consistency(second, new, first, old, proof)


def test_a_tree_that_was_rewritten_is_no_continuation():
    forged = [MANY[0], MANY[2], MANY[1], *MANY[3:]]
    for first in range(2, 20):
        proof = consistency_proof(forged, first)
        assert not verify_consistency(first, root(MANY[:first]), len(forged), root(forged), proof)


def test_a_frontier_goes_on_where_it_was_left():
    frontier = Frontier()
    for size in range(len(MANY)):
        assert frontier.root() == root(MANY[:size])
        frontier = Frontier(frontier.size, frontier.peaks)
        frontier.append(MANY[size : size + 1])
    with pytest.raises(AssertionError):
        Frontier(3, [EMPTY_ROOT])
