"""The lock that is a node's life."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from comity.core.errors import LeaseError
from comity.runtime.nodelock import NodeLock, is_free, lock_path


def test_a_lock_is_held_by_one_node_at_a_time(tmp_path: Path) -> None:
    path = lock_path(tmp_path, bytes(16))
    assert is_free(path)
    first = NodeLock.acquire(path)
    assert not is_free(path)
    with pytest.raises(LeaseError, match="is held"):
        NodeLock.acquire(path)
    first.release()
    assert is_free(path)
    NodeLock.acquire(path).release()


def test_a_lock_is_held_as_long_as_anybody_who_inherited_it_lives(tmp_path: Path) -> None:
    lock = NodeLock.acquire(tmp_path / "one.lock")
    inherited = os.dup(lock.fileno())
    lock.release()
    assert not is_free(lock.path)
    os.close(inherited)
    assert is_free(lock.path)


def test_a_lock_names_the_process_that_took_it(tmp_path: Path) -> None:
    lock = NodeLock.acquire(tmp_path / "one.lock")
    assert lock.path.read_text() == f"{os.getpid()}\n"
    lock.release()
