"""`comity world apply|show|observe`, claims, plans, detectors and the map: the same on a store and by a server."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from both_ways import Both, serving
from comity.cli.exits import Exit
from comity.coordination.loading import read_world
from comity.journal.program import load
from comity.kernel import Settings
from comity.runtime.embedded import Embedded
from comity.runtime.programs import register
from comity.stores.open import open_store
from world_stage import AGENTS, WORLD

ASKED = [
    "world show",
    "world show db/main.connections service/*",
    "world show nothing/*",
    "world show --in-flight",
    "world show --in-flight db/*",
    "claims ls",
    "claims ls --over",
    "plan ls",
    "detectors ls",
    "detectors show oscillation",
    "detectors alarms --since 1h",
    "detectors baseline",
    "map --window 52w",
    "map --window 52w --focus shedder --hops 1",
    "map --window 52w --detail calls",
    "map --window 52w --format dot",
    "map --why db/main.connections",
    "map --would nothing",
]
ORDERED = [
    "world apply world.yaml",
    "world observe db/main.connections=41 service/web.instances=9",
    "world observe db/main.state=down --at 2m",
    "claim db/main --mode leave-as-is --reason moving --for 2h --id moving",
    "announce service/web.instances --reason halved --since 10m --for 30m --id halved",
    "claims ls",
    "claims ls --field db/main.state",
    "claims end moving halved",
    "plan issue autumn service/* --steps 4 --for 1h --direction up --agent grower",
    "plan ls",
]
REFUSED = [
    "world show db/main.size",
    "world show --in-flight a b",
    "world observe db/main.size=1",
    "world observe db/main.connections=many",
    "world observe db/main.connections",
    "world observe db/main.connections=1 --at yesterday",
    "world observe db/main.connections=1 --at 2999-01-01T00:00:00Z",
    "claim * --for 2h",
    "claim db/* --for 900d",
    "claim db/* --for ever",
    "claim boat/* --for 2h",
    "claims end nothing",
    "plan issue autumn service/* --steps 4 --for 0h",
    "detectors show ocillation",
    "detectors baseline --sign",
    "detectors alarms --since 2",
    "map --window 0s",
    "map --why db/main --would scale",
    "map --would scale",
    "map --would scale --args 5",
]


async def _acted(folder: Path) -> None:
    file = folder / "agents.py"
    file.write_text(AGENTS, encoding="utf-8")
    (folder / "world.yaml").write_text(WORLD, encoding="utf-8")
    loaded = load(file)
    (folder / "home").mkdir(mode=0o700)
    store = open_store(f"sqlite:///{folder / 'home' / 'comity.db'}")
    await store.open()
    try:
        await register(store, loaded.program)
        world = read_world(WORLD).document
        async with Embedded(loaded, store, settings=Settings(linger_s=0.0), world=world) as node:
            for agent in ("grower", "shedder", "grower"):
                await node.result(await node.create(agent, 1))
    finally:
        await store.close()


@pytest.fixture
def both(comity: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    asyncio.run(_acted(folder))
    shutil.copytree(folder / "home", folder / "served")
    found = Both(comity, {}, folder, monkeypatch)
    with serving(folder / "served", is_coordinating=True) as found.server:
        yield found


def test_what_is_asked_is_answered_the_same_both_ways(both: Both) -> None:
    for line in ASKED:
        code, stdout, stderr = both.same(line)
        assert (code, bool(stdout)) == (Exit.OK, True), (line, stderr)
        json.loads(both.run(line, "--json", by_server=False)[1])


def test_what_is_ordered_is_answered_the_same_both_ways(both: Both) -> None:
    for line in ORDERED:
        code, stdout, stderr = both.same(line)
        assert (code, bool(stdout)) == (Exit.OK, True), (line, stderr)
    for line in ("world show", "claims ls", "plan ls"):
        json.loads(both.same(line, "--json")[1])


def test_what_is_refused_is_refused_the_same_both_ways(both: Both) -> None:
    for line in REFUSED:
        code, stdout, stderr = both.same(line)
        assert code in (Exit.USAGE, Exit.NOT_FOUND), (line, code, stderr)
        assert (stdout, "error: " in stderr) == ("", True), line


def test_a_value_that_was_only_proposed_stands_beside(both: Both) -> None:
    shown = both.same("world observe service/web.instances=9 db/main.connections=41")[1]
    assert "proposed service/web.instances" in shown
    assert "observed db/main.connections" in shown
    table = both.same("world show")[1]
    assert "(9 proposed)" in table
    assert "ago by operator" in table
    assert both.same("world observe db/main.connections=41 --at 10m")[1].startswith("older")


def test_a_file_with_mistakes_is_told_line_by_line(both: Both, folder: Path) -> None:
    (folder / "bad.yaml").write_text(WORLD.replace("type: integer", "type: intger"), encoding="utf-8")
    code, stdout, _ = both.same("world apply bad.yaml")
    assert (code, stdout.count("bad.yaml:")) == (Exit.FAILED, 2)
    found = json.loads(both.same("world apply bad.yaml", "--json")[1])
    assert (found["applied"], len(found["problems"])) == (False, 2)
    assert both.same("world apply nowhere.yaml")[0] == Exit.NOT_FOUND


def test_a_picture_is_written_to_a_file(both: Both, folder: Path) -> None:
    for kind, begin in (("png", b"\x89PNG"), ("svg", b"<"), ("text", b"Who acts on what"), ("json", b"{")):
        out = folder / f"map.{kind}"
        code, stdout, stderr = both.same(f"map --window 52w --format {kind} --out {out}")
        assert (code, f"map.{kind}" in stdout) == (Exit.OK, True), stderr
        assert out.read_bytes().startswith(begin)
    assert both.same("map --out /nowhere/map.txt")[0] == Exit.USAGE


def test_without_a_world_commands_say_how_there_will_be_one(comity: Any, tasks: dict[str, str]) -> None:
    for line in ("world show", "world observe a/b.c=1", "claim a/b --for 1h", "detectors ls", "map"):
        result = comity(*line.split())
        assert result.exit_code == Exit.NOT_FOUND, (line, result.stderr)
        assert "comity world apply FILE" in result.stderr


def test_fields_claims_and_detectors_are_completed(both: Both) -> None:
    both.same("claim db/main --for 1h --id moving")
    for words, found in (
        ("world show ser", "service/web.instances"),
        ("claims end m", "moving"),
        ("detectors show un", "undo_war"),
    ):
        with both.monkeypatch.context() as patch:
            patch.setenv("COMITY_HOME", str(both.folder / "home"))
            patch.setenv("_COMITY_COMPLETE", "bash_complete")
            patch.setenv("COMP_WORDS", f"comity {words}")
            patch.setenv("COMP_CWORD", str(len(words.split())))
            assert found in both.comity().stdout


def test_what_a_call_would_touch_is_drawn_with_what_follows(both: Both) -> None:
    args = json.dumps({"name": "web", "by": 2})
    code, stdout, _ = both.same("map --would scale --args", args)
    assert code == Exit.OK
    assert "db/main.connections" in stdout
    assert "+20" in stdout
    found = json.loads(both.same("map --would scale --json --args", args)[1])
    assert [item["field"] for item in found["fields"]] == ["service/web.instances", "db/main.connections"]
    assert "db/main.state" in both.same("map --would drain --args", json.dumps({"name": "main"}))[1]
