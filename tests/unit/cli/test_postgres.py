"""The commands on PostgreSQL: the same answers, and what the doctor says of a server that may forget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from comity.cli.exits import Exit
from postgres import postgres_url


@pytest.fixture
def url(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database that is the configured store."""
    found = postgres_url()
    monkeypatch.setenv("COMITY_STORE__URL", found)
    return found


def checks(comity) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(comity("doctor", "--json").stdout)["checks"]}


def test_tasks_are_created_listed_and_stopped(comity, url: str, clerk: Path) -> None:
    made = comity("run", "clerk.py", "--goal", "done", "--detach")
    assert made.exit_code == 0, made.stderr
    shown = json.loads(comity("tasks", "show", made.stdout.strip()[-8:], "--json").stdout)
    assert (shown["id"], shown["state"]) == (made.stdout.strip(), "queued")
    assert comity("stop", "fleet").stdout.splitlines()[0].startswith("committed fleet")


def test_doctor_tells_how_durable_the_server_is(comity, url: str, clerk: Path) -> None:
    comity("agents", "register", "clerk.py")
    found = checks(comity)
    assert found["durability"]["mark"] == "ok"
    assert "fsync=on" in found["durability"]["text"]
    assert found["standby"]["text"].startswith("none")
    with forgetful(url):
        assert comity("doctor").exit_code == Exit.FAILED
        assert checks(comity)["durability"]["text"].startswith("P2 degraded: ")


@contextmanager
def forgetful(url: str) -> Iterator[None]:
    """Have the server write no full pages, and return once it knows that."""
    with psycopg.connect(url, autocommit=True) as connection:

        def put(order: str, value: str) -> None:
            connection.execute(f"ALTER SYSTEM {order}")
            connection.execute("SELECT pg_reload_conf()")
            while connection.execute("SELECT current_setting('full_page_writes')").fetchone() != (value,):
                continue

        put("SET full_page_writes = off", "off")
        try:
            yield
        finally:
            put("RESET full_page_writes", "on")


def test_a_server_that_is_not_there_is_told_without_its_password(comity, folder: Path) -> None:
    gone = "postgresql://ada:hunter22@127.0.0.1:1/comity"
    result = comity("tasks", "ls", "--store", gone)
    assert result.exit_code == Exit.STORE
    assert "hunter22" not in result.stderr
    assert result.stderr.startswith("error: ")
    assert "hunter22" not in comity("doctor", "--store", gone).output
