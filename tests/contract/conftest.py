"""Every test that asks for a `world` runs on every store."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.world import STORES, World


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """An empty store of each kind, not yet open."""
    return World(request.param, tmp_path)
