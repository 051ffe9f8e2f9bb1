"""Answers of reconcile and verify tools: written as JSON, read strictly."""

from __future__ import annotations

import pytest

from comity.core.codec import canonical, decode
from comity.core.errors import UsageError
from comity.journal.answers import DidNotHappen, Happened, Unknown, read_reconciliation, read_verification


@pytest.mark.parametrize(
    "answer", [Happened({"id": 7}), Happened(None, "seen"), DidNotHappen("absent"), Unknown("502")]
)
def test_a_reconciliation_comes_back_from_its_json(answer):
    assert read_reconciliation(decode(canonical(answer))) == answer


def test_what_happened_is_told_by_one_field():
    assert [decode(canonical(item))["happened"] for item in (Happened(), DidNotHappen(), Unknown())] == [
        True,
        False,
        None,
    ]


@pytest.mark.parametrize("value", [None, True, "yes", {}, {"happened": "yes"}, {"happened": 1}, {"result": 1}])
def test_any_other_answer_of_a_reconcile_tool_is_refused(value):
    with pytest.raises(UsageError, match="reconcile tool"):
        read_reconciliation(value)


def test_a_verification_is_a_bool_or_says_why():
    assert read_verification(True) == (True, "")
    assert read_verification({"passed": False, "reason": "too cheap"}) == (False, "too cheap")


@pytest.mark.parametrize("value", [None, 1, "passed", {}, {"passed": 1}])
def test_any_other_answer_of_a_verify_tool_is_refused(value):
    with pytest.raises(UsageError, match="verify tool"):
        read_verification(value)
