"""`comity token`: made, listed, replaced and revoked; shown once, and never again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from comity.core.clock import SystemClock
from comity.core.entropy import SystemEntropy
from comity.core.errors import GovernanceError
from comity.server.auth import Operators
from comity.stores.open import open_store

Run = Callable[..., Result]


def named(folder: Path, token: str) -> str:
    """Return the name under which a store knows a token, or the code of the refusal."""

    async def check() -> str:
        store = open_store(f"sqlite:///{folder / 'home' / 'comity.db'}")
        await store.open()
        try:
            return await Operators(store, SystemClock(), SystemEntropy()).check(token)
        except GovernanceError as error:
            return error.code
        finally:
            await store.close()

    return asyncio.run(check())


def test_a_token_is_made_used_listed_replaced_and_revoked(comity: Run, folder: Path) -> None:
    made = comity("token", "new", "ada").stdout.strip()
    assert named(folder, made) == "ada"
    (listed,) = json.loads(comity("token", "ls", "--json").stdout)["tokens"]
    assert listed["name"] == "ada"
    assert listed["expires_at"] > listed["created_at"]
    replaced = json.loads(comity("token", "rotate", "ada", "--json").stdout)["token"]
    assert (named(folder, made), named(folder, replaced)) == ("unknown_token", "ada")
    assert comity("token", "revoke", "ada").exit_code == 0
    assert named(folder, replaced) == "unknown_token"
    assert "no tokens" in comity("token", "ls").stdout


def test_a_token_is_never_listed_and_stands_in_no_file(comity: Run, folder: Path) -> None:
    made = comity("token", "new", "ada", "--days", "0").stdout.strip()
    listed = comity("token", "ls")
    assert made not in listed.stdout + listed.stderr
    assert "never" in listed.stdout
    for file in (folder / "home").iterdir():
        if file.is_file():
            assert made.encode() not in file.read_bytes()


def test_quietly_the_token_alone_is_written(comity: Run) -> None:
    result = comity("token", "new", "ci", "-q")
    assert result.stdout.startswith("co_")
    assert (result.stdout.count("\n"), result.stderr) == (1, "")


def test_a_name_that_is_taken_wrong_or_unknown_is_told(comity: Run) -> None:
    comity("token", "new", "ada")
    taken = comity("token", "new", "ada")
    assert taken.exit_code == 2
    assert "comity token rotate ada" in taken.stderr
    assert comity("token", "new", "a b").exit_code == 2
    assert comity("token", "rotate", "eve").exit_code == 3
    assert comity("token", "revoke", "eve").exit_code == 3
