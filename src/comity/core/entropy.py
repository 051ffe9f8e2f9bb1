"""Chance as a port: ids, lease ids and nonces come from an `Entropy`, so that a seeded run repeats."""

from __future__ import annotations

import os
import random
from typing import Protocol

Generator = random.Random
"""A generator of pseudo-random numbers that repeats for the same seed."""


class Entropy(Protocol):
    """A source of unpredictable bytes."""

    def take(self, size: int) -> bytes:
        """Return `size` fresh bytes."""
        ...


class SystemEntropy:
    """The operating system's source."""

    def take(self, size: int) -> bytes:
        """Return `size` bytes of os.urandom."""
        return os.urandom(size)


def generator(seed: bytes) -> Generator:
    """Return the generator that `seed`, which is journaled, always gives."""
    return Generator(seed)
