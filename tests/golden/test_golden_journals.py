"""Journals that released versions wrote are read for ever: same meaning, same leaves, whatever was added since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comity.core.ids import parse_id
from comity.journal.entry import Entry, leaf
from comity.stores.codes import kind_code, kind_of, phase_code, phase_of
from golden.make_journal import plain

JOURNALS = sorted(Path(__file__).parent.glob("journal_*.json"))


def still_says(now: Any, then: Any) -> bool:
    """Whether everything that was read then is read now; a struct may have more fields."""
    if isinstance(then, dict) and isinstance(now, dict):
        return all(name in now and still_says(now[name], value) for name, value in then.items())
    if isinstance(then, list) and isinstance(now, list):
        return len(now) == len(then) and all(map(still_says, now, then))
    return bool(now == then)


def test_there_are_golden_journals():
    assert JOURNALS


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_a_golden_journal_reads_as_it_did(path: Path):
    journal = json.loads(path.read_text(encoding="utf-8"))
    task = parse_id(journal["task"])
    for line in journal["entries"]:
        body = bytes.fromhex(line["body"])
        item = Entry(line["seq"], line["branch"], line["kind"], line["phase"], line["at_us"], body)
        assert still_says(plain(item.read()), line["reads"])
        assert leaf(task, item).hex() == line["leaf"]


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_kinds_and_phases_of_a_golden_journal_keep_their_codes(path: Path):
    journal = json.loads(path.read_text(encoding="utf-8"))
    for line in journal["entries"]:
        assert [kind_code(line["kind"]), phase_code(line["phase"])] == line["codes"]
        assert (kind_of(line["codes"][0]), phase_of(line["codes"][1])) == (line["kind"], line["phase"])
