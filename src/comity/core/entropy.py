"""Chance as a port: ids, lease ids and nonces come from an `Entropy`, so that a seeded run repeats."""

from __future__ import annotations

import os
from typing import Protocol


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
