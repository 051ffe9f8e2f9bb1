"""Secrets taken out of what tools say."""

from __future__ import annotations

from comity.core.codec import canonical, decode
from comity.hands.masks import Masks
from comity.journal.call import Attempt

SECRET = 'pass"word\n\u00e9'


def test_a_secret_is_masked_in_value_error_hint_and_progress_however_json_spells_it():
    masks = Masks([SECRET, "abcdefgh"])
    value = canonical({"said": f"it is {SECRET}!", "abcdefgh": 1})
    found = masks.attempt(Attempt("done", value, f"no {SECRET}", hint="try abcdefgh"))
    assert decode(found.value) == {"said": "it is [hidden]!", "[hidden]": 1}
    assert (found.error, found.hint) == ("no [hidden]", "try [hidden]")
    told: list[tuple[str, float | None]] = []
    masks.progress(lambda text, part: told.append((text, part)))(f"with {SECRET}", 0.5)
    assert told == [("with [hidden]", 0.5)]


def test_a_secret_within_another_is_not_left_in_pieces():
    assert Masks(["token-123", "Bearer token-123-and-more"]).text("Bearer token-123-and-more, token-123") == (
        "[hidden], [hidden]"
    )


def test_a_short_value_is_no_secret_and_without_any_nothing_is_touched():
    attempt = Attempt("done", b'"1234567"')
    assert Masks(["1234567", ""]).attempt(attempt) is attempt
    tell = lambda text, part: None  # noqa: E731
    assert Masks().progress(tell) is tell
