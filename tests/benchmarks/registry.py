"""Which systems there are: the peers below, and ours once `benchmarks/ours.py` lists its `SYSTEMS`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from benchmarks.peer import Peer
from benchmarks.peers.absurd import AbsurdPostgres
from benchmarks.peers.dbos import DbosPostgres, DbosSqlite
from benchmarks.peers.langgraph import LangGraphPostgres, LangGraphSqlite
from benchmarks.peers.raw_postgres import RawPostgres
from benchmarks.peers.raw_sqlite import RawSqlite
from benchmarks.peers.restate import Restate

PEERS: tuple[type[Peer], ...] = (
    RawSqlite,
    RawPostgres,
    DbosSqlite,
    DbosPostgres,
    LangGraphSqlite,
    LangGraphPostgres,
    AbsurdPostgres,
    Restate,
)
OURS = "benchmarks.ours"


def our_systems() -> tuple[type[Peer], ...]:
    """Return `benchmarks.ours.SYSTEMS`, or nothing while that module does not exist.

    A module that exists and fails to import is an error: our own numbers never vanish silently.
    """
    if find_spec(OURS) is None:
        return ()
    systems: tuple[type[Peer], ...] = tuple(import_module(OURS).SYSTEMS)
    return systems


def all_systems() -> tuple[type[Peer], ...]:
    """Return every system, references first, ours last."""
    systems = (*PEERS, *our_systems())
    names = [system.name for system in systems]
    assert len(names) == len(set(names)), f"two systems of one name in {names}"
    return systems


def system_named(name: str) -> type[Peer]:
    """Return the system of that name."""
    return next(system for system in all_systems() if system.name == name)
