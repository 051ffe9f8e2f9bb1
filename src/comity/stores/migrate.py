"""Migrations: numbered SQL files that ship with Comity, each applied once, its checksum kept in the store.

A store that was written by a newer Comity, or whose applied files are not those that ship, is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources

import msgspec

from comity.core.errors import StoreError


class Migration(msgspec.Struct, frozen=True):
    """One file: its number, its name, the SQL, and the SHA-256 of that in hex."""

    number: int
    name: str
    sql: str
    sha256: str


def shipped(store: str) -> list[Migration]:
    """Return the migrations of `store` (`sqlite`, `postgres`) that ship with this Comity, in order."""
    found: list[Migration] = []
    for file in (resources.files("comity.stores") / "migrations" / store).iterdir():
        if file.name.endswith(".sql"):
            text = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(int(file.name[:4]), file.name, text, digest))
    found.sort(key=lambda migration: migration.number)
    assert [migration.number for migration in found] == list(range(1, len(found) + 1)), (
        "a migration's number is missing"
    )
    return found


def pending(ours: list[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """Return what is still to be applied; `applied` maps the store's migrations to their checksums.

    Raises:
        StoreError: `newer_schema` or `changed_migration`; neither goes away by trying again.
    """
    newest = len(ours)
    if applied and max(applied) > newest:
        raise StoreError(
            "newer_schema",
            f"the store has schema `{max(applied)}`, this Comity knows schemas up to `{newest}`",
            retry="never",
            hint="run the newer Comity that wrote it, or restore a backup from before its upgrade",
        )
    for migration in ours:
        if migration.number in applied and applied[migration.number] != migration.sha256:
            raise StoreError(
                "changed_migration",
                f"migration `{migration.name}` is not the one that was applied to the store",
                retry="never",
                hint="install a released Comity; a migration never changes after its release",
            )
    return [migration for migration in ours if migration.number not in applied]


def refuse_pending(waiting: list[Migration]) -> None:
    """Refuse a store that has entries but not this schema yet: only a person decides when to migrate.

    Raises:
        StoreError: `old_schema`, where anything is waiting.
    """
    if waiting:
        names = ", ".join(f"`{migration.name}`" for migration in waiting)
        raise StoreError(
            "old_schema",
            f"the store has not been migrated yet: {names}",
            retry="never",
            hint="make a backup, then run `comity store migrate`",
        )
