"""Task tokens: made for one incarnation of one task, told from anything else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comity.gateway.tokens import PREFIX, TaskTokens
from comity.testing.clock import FakeClock, FakeEntropy
from comity.testing.memory import MemoryStore

TASK = bytes(range(16))


def test_a_token_names_its_task_and_incarnation() -> None:
    tokens = TaskTokens(b"k" * 32)
    assert tokens.read(tokens.mint(TASK, 7)) == (TASK, 7)


def test_a_token_of_another_key_is_none_of_ours() -> None:
    assert TaskTokens(b"k" * 32).read(TaskTokens(b"q" * 32).mint(TASK, 1)) is None


@given(st.integers(0, 47), st.sampled_from("Aa0-_"))
def test_a_token_that_was_changed_anywhere_is_none_of_ours(place: int, letter: str) -> None:
    tokens = TaskTokens(b"k" * 32)
    token = tokens.mint(TASK, 1)
    at = len(PREFIX) + place
    changed = token[:at] + letter + token[at + 1 :]
    assert (tokens.read(changed) is None) is (changed != token)


@given(st.text(max_size=80))
def test_anything_else_is_no_token(text: str) -> None:
    assert TaskTokens(b"k" * 32).read(PREFIX + text) is None


async def test_all_nodes_of_a_store_know_each_others_tokens() -> None:
    store = MemoryStore(FakeClock())
    first = await TaskTokens.of_store(store, FakeEntropy(1))
    second = await TaskTokens.of_store(store, FakeEntropy(2))
    assert second.read(first.mint(TASK, 3)) == (TASK, 3)
