"""Isolation: what stays open around a closed path, and what an isolated process cannot do, though it could before."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comity.runtime import isolation, seccomp
from comity.runtime.isolation import Isolation, around, is_whole, is_within, may_make_in, open_paths
from comity.runtime.landlock import Files

TESTS = Path(__file__).parents[2]
SCRIPT = """
import json, sys
import msgspec
from comity.runtime.isolation import Isolation, isolate, isolate_from_kin
from crash.hostile import attack
targets, isolation = sys.argv[1:]
if isolation:
    isolate(msgspec.json.decode(isolation, type=Isolation))
print(json.dumps(attack(json.loads(targets))))
"""
needs_all = pytest.mark.skipif(not is_whole(), reason="this kernel does not have all of Landlock and seccomp")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a secret, a folder to work in, and some more."""
    for name in ("home/inner", "work/deep", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home" / "secret").write_text("hush")
    (tmp_path / "other" / "notes").write_text("known")
    (tmp_path / "work" / "script").write_text("mine")
    return tmp_path.resolve()


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user, with a secret in its environment."""
    environment = {**os.environ, "NEIGHBOURS_TOKEN": "ct_hush"}
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def attack(targets: dict[str, Any], isolated: Isolation | None, folder: Path) -> dict[str, str]:
    """Let a hostile process try `targets`; `folder` is where it works."""
    given = msgspec.json.encode(isolated).decode() if isolated else ""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(targets), given],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def found(report: dict[str, str]) -> set[str]:
    return {name for name, said in report.items() if said.startswith("found")}


# Which paths stay open


def test_a_root_without_a_closed_path_is_open_as_a_whole(folder: Path) -> None:
    assert list(around([str(folder)], ["/nowhere"])) == [str(folder)]


def test_beside_a_closed_path_all_stays_open_but_the_folders_above_it_do_not(folder: Path) -> None:
    opened = list(around([str(folder)], [str(folder / "home" / "secret")]))
    assert sorted(opened) == [str(folder / name) for name in ("home/inner", "other", "work")]


def test_a_root_that_is_closed_or_lies_in_a_closed_path_is_left_out(folder: Path) -> None:
    assert list(around([str(folder / "home"), str(folder / "home" / "inner")], [str(folder / "home")])) == []


def test_a_link_beside_a_closed_path_is_judged_by_what_it_leads_to(folder: Path) -> None:
    (folder / "shortcut").symlink_to(folder / "home")
    assert str(folder / "shortcut") not in around([str(folder)], [str(folder / "home")])


def test_a_closed_path_that_is_not_there_yet_cannot_be_made(folder: Path) -> None:
    made = Isolation((str(folder / "later" / "deep"),))
    assert not may_make_in(str(folder), made)
    assert may_make_in(str(folder / "work"), made)


def test_a_name_that_begins_like_a_folder_is_not_within_it() -> None:
    assert is_within("/home/ada", "/home/ada")
    assert is_within("/home/ada/x", "/home/ada")
    assert is_within("/home", "/")
    assert not is_within("/home/adam", "/home/ada")


def test_what_is_fixed_can_be_read_and_not_changed(folder: Path) -> None:
    rights = open_paths(Isolation((str(folder / "home"),), fixed=(str(folder / "other"),)))
    assert Files.READ in rights[str(folder / "other")]
    assert Files.WRITE not in rights[str(folder / "other")]
    assert Files.WRITE in rights[str(folder / "work")]
    assert not any(is_within(path, str(folder / "home")) for path in rights)


def test_nothing_of_the_kernel_can_be_changed_and_no_disk_be_read() -> None:
    rights = open_paths(Isolation(("/nowhere/at/all",)))
    assert Files.WRITE not in rights["/proc"]
    assert Files.WRITE in rights["/dev/null"]
    assert "/dev" not in rights
    assert not any(path.startswith(("/dev/sd", "/dev/vd", "/dev/mem", "/dev/kmsg")) for path in rights)


# What it comes to


@needs_all
def test_an_isolated_process_cannot_come_by_hidden_files_in_any_way(folder: Path) -> None:
    secret, spoilt = folder / "home" / "secret", folder / "home" / "spoilt"
    spoilt.write_text("whole")
    targets = {"files": [str(secret)], "folders": [str(folder / "home")], "victims": [str(spoilt)]}
    names = {name for name in attack(targets, None, folder / "work") if str(folder) in name}
    bare = attack(targets, None, folder / "work")
    assert names <= found(bare), "each of these works without isolation"
    spoilt.write_text("whole")
    assert not names & found(attack(targets, Isolation((str(folder / "home"),)), folder / "work"))
    assert spoilt.read_text() == "whole"


@needs_all
def test_an_isolated_process_works_in_its_folder_as_ever(folder: Path) -> None:
    here, other = folder / "work", folder / "other"
    targets = {"files": [str(here / "script"), str(other / "notes")], "folders": [str(here), str(here / "deep")]}
    report = attack(targets, Isolation((str(folder / "home"),), changeable=("/", str(here))), here)
    assert {name for name in report if str(folder) in name} <= found(report)


@needs_all
def test_fixed_files_are_read_and_not_changed(folder: Path) -> None:
    notes = str(folder / "other" / "notes")
    isolated = Isolation((str(folder / "home"),), fixed=(str(folder / "other"),))
    report = attack({"files": [notes], "victims": [notes]}, isolated, folder / "work")
    assert f"read {notes}" in found(report)
    assert not {f"write {notes}", f"truncate {notes}", f"move {notes}"} & found(report)


@needs_all
def test_only_the_named_ports_are_reached_by_whatever_protocol(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as own, socket.create_server(("127.0.0.1", 0)) as foreign:
        gateway, other = own.getsockname()[1], foreign.getsockname()[1]
        bare = found(attack({"ports": [gateway, other]}, None, folder / "work"))
        assert {f"connect to {gateway}", f"connect to {other}", f"connect with data to {other}"} <= bare
        seen = found(attack({"ports": [gateway, other]}, Isolation((), ports=(gateway,)), folder / "work"))
        assert {f"connect to {gateway}", f"connect by IPv6 to {gateway}"} <= seen
        assert not {name for name in seen if name.endswith(str(other))}
        none = found(attack({"ports": [gateway]}, Isolation(()), folder / "work"))
        assert not {name for name in none if name.endswith(str(gateway))}


@needs_all
def test_a_port_is_listened_on_where_it_is_free_or_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as named:
        ports = [taken.getsockname()[1], named.getsockname()[1]]
    isolated = Isolation((), ports=(), listening=(ports[1],))
    report = attack({"listen": [0, *ports]}, isolated, folder / "work")
    assert {name for name in found(report) if name.startswith("listen")} == {"listen on 0", f"listen on {ports[1]}"}


@needs_all
def test_other_processes_can_neither_be_read_nor_traced_nor_signalled(
    folder: Path, neighbour: subprocess.Popen[bytes]
) -> None:
    targets = {"pids": {"neighbour": neighbour.pid}, "files": [str(folder / "home" / "secret")]}
    bare = attack(targets, None, folder / "work")
    names = {name for name in bare if "neighbour" in name}
    assert names <= found(bare), {name: bare[name] for name in names - found(bare)}
    assert "ct_hush" in bare["read all environments"]
    seen = attack(targets, Isolation((str(folder / "home"),)), folder / "work")
    assert not names & found(seen)
    assert "ct_hush" not in seen["read all environments"]


@needs_all
def test_an_abstract_socket_of_another_process_is_out_of_reach(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0comity-test-" + folder.name)
        server.listen()
        targets = {"abstract": ["comity-test-" + folder.name]}
        (name,) = (name for name in attack(targets, None, folder / "work") if "abstract" in name)
        assert name in found(attack(targets, None, folder / "work"))
        assert name not in found(attack(targets, Isolation((), has_unix=True), folder / "work"))


@needs_all
def test_what_leads_round_the_restrictions_is_shut(folder: Path) -> None:
    seen = found(attack({}, Isolation((), ports=()), folder / "work"))
    assert not {"have io_uring", "have a raw socket", "write to the kernel"} & seen


def test_a_kernel_without_any_of_it_says_none_and_one_with_less_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "abi", lambda: 0)
    assert isolation.described() == "none"
    monkeypatch.setattr(isolation, "abi", lambda: 3)
    assert isolation.described().startswith("landlock abi 3 (files; not addresses, not UDP")
    monkeypatch.setattr(isolation, "abi", lambda: 7)
    monkeypatch.setattr(seccomp, "machine", lambda: seccomp.MACHINES["x86_64"])
    assert isolation.described() == "landlock abi 7 (files, TCP ports, signals; not addresses, not UDP)"
    assert isolation.is_whole()
    monkeypatch.setattr(seccomp, "machine", lambda: None)
    assert "not MPTCP" in isolation.described()
    assert not isolation.is_whole()
