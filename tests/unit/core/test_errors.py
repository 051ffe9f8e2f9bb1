"""Errors: each says what may be tried, and control flow is out of reach of `except Exception`."""

from __future__ import annotations

import inspect

import pytest

from comity.core import errors
from comity.core.errors import ComityError, Diverged, NotHappened, Stopped, StoreError, Suspend, UsageError

FAMILIES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, ComityError)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_error_has_code_message_hint_and_says_what_may_be_tried(family):
    error = family("the reason") if family is NotHappened else family("a_code", "the reason", hint="the way out")
    assert error.retry in ("redo", "rethink", "never")
    assert str(error) == error.message == "the reason"
    assert (error.code, error.hint) in (("a_code", "the way out"), ("not_happened", ""))


def test_what_may_be_tried_comes_from_the_family_or_from_the_error():
    assert (UsageError("c", "m").retry, StoreError("c", "m").retry, Diverged("c", "m").retry) == (
        "never",
        "redo",
        "rethink",
    )
    assert StoreError("c", "m", retry="never").retry == "never"
    assert StoreError("c", "m").retry == "redo"


@pytest.mark.parametrize("flow", [Suspend, Stopped])
def test_control_flow_passes_through_a_users_except_exception(flow):
    assert issubclass(flow, BaseException)
    assert not issubclass(flow, Exception)
