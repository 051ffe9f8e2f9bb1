"""Landlock's interface: what each version is asked for, and that nothing is restricted where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from comity.runtime import landlock
from comity.runtime.landlock import Files, Ruleset, abi

pytestmark = pytest.mark.skipif(not abi(), reason="this kernel has no Landlock")
ALL = Files(sum(Files))


@pytest.mark.parametrize("known", range(1, abi() + 1))
def test_an_older_interface_is_asked_only_for_what_it_knows(
    known: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: known)
    with Ruleset(has_files=True, has_ports=True) as rules, Ruleset():
        rules.allow(str(tmp_path), ALL)
        rules.allow("/dev/null", ALL)
        rules.allow_port(7117, may_connect=True, may_listen=True)


def test_a_rule_on_what_is_gone_is_left_out(tmp_path: Path) -> None:
    with Ruleset(has_files=True) as rules:
        rules.allow(str(tmp_path / "gone"), ALL)
        rules.allow(str(tmp_path / "gone" / "deeper"), ALL)


def test_what_the_kernel_refuses_is_an_error(tmp_path: Path) -> None:
    rules = Ruleset(has_files=True)
    rules.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        rules.allow(str(tmp_path), Files.READ)


def test_there_is_none_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert abi.__wrapped__() == 0
