"""Whether two texts say nearly the same."""

from __future__ import annotations

from comity.gateway.similarity import SIMILAR_CHARS_MAX, similar

TEXT = " ".join(f"word{n}" for n in range(40))


def test_texts_that_differ_in_one_word_of_many_are_similar() -> None:
    assert similar(f"{TEXT} at 10:00", f"{TEXT} at 10:05")


def test_case_order_and_punctuation_do_not_matter() -> None:
    assert similar("Book the room, please!", "please book THE room")


def test_texts_that_differ_in_more_than_a_tenth_of_their_words_are_not_similar() -> None:
    words = TEXT.split()
    assert similar(TEXT, " ".join(words[:36]))
    assert not similar(TEXT, " ".join(words[:35]))


def test_a_short_text_is_not_similar_to_one_with_another_word() -> None:
    assert not similar("pay 100", "pay 900")


def test_two_texts_without_words_are_similar_and_one_is_not_similar_to_words() -> None:
    assert similar("", "…")
    assert not similar("", "word")


def test_texts_that_are_too_long_to_compare_are_never_similar() -> None:
    text = "a" * SIMILAR_CHARS_MAX
    assert similar(text, text)
    assert not similar(text + "a", text + "a")
