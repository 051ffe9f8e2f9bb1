"""Edits of a world file leave the rest of its text as it is."""

from __future__ import annotations

import yaml

from comity.rehearsal.patch import Edit, edited, edited_text, patch_text

TEXT = """\
# A comment that stays.
kinds: {n: {id: "n/{name}"}}
invariants:
  rule:            # and this one
    let: {a: n/a.v}
    holds: a < 3   # at the end of a line

tools:
  put:
    touches:
      - {field: n/a.v}
    premises: []
rehearsal:
  agents:
    one: {rules: [{do: put}]}
"""


def check(edit: Edit) -> str:
    text, is_kept = edited_text(TEXT, [edit])
    assert is_kept
    assert yaml.safe_load(text) == edited(yaml.safe_load(TEXT), [edit])
    kept = [line for line in TEXT.splitlines() if line not in text.splitlines()]
    assert len(kept) <= 1
    return text


def test_a_key_is_added_behind_the_others_of_its_mapping() -> None:
    assert "    holds: a < 3   # at the end of a line\n    mode: enforce\n" in check(
        Edit(("invariants", "rule", "mode"), "enforce")
    )


def test_a_value_is_replaced() -> None:
    assert "holds: a < 2   # at the end" in check(Edit(("invariants", "rule", "holds"), "a < 2"))


def test_a_key_is_added_to_a_mapping_on_one_line() -> None:
    assert 'kinds: {n: {id: "n/{name}", declared_only: true}}' in check(
        Edit(("kinds", "n", "declared_only"), value=True)
    )


def test_an_item_is_added_to_a_list_in_each_style() -> None:
    assert "      - {field: n/b.v}\n" in check(Edit(("tools", "put", "touches"), {"field": "n/b.v"}, is_item=True))
    assert "premises: [{field: n/b.v}]" in check(Edit(("tools", "put", "premises"), {"field": "n/b.v"}, is_item=True))


def test_a_section_that_is_not_there_is_made() -> None:
    assert check(Edit(("detectors", "oscillation", "mode"), "enforce")).endswith(
        "detectors: {oscillation: {mode: enforce}}\n"
    )


def test_a_value_within_a_list_is_set() -> None:
    assert "{do: put, given: {to: '1'}}" in check(
        Edit(("rehearsal", "agents", "one", "rules", 0, "given"), {"to": "1"})
    )


def test_the_patch_shows_what_changes_with_the_keys_around_it() -> None:
    shown = patch_text(yaml.safe_load(TEXT), [Edit(("invariants", "rule", "mode"), "enforce")])
    assert yaml.safe_load(shown) == {"invariants": {"rule": {"mode": "enforce"}}}
