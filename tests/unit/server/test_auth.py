"""Who is let in: operators by tokens that the store knows as hashes, programs to their own task, nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comity.core.errors import GovernanceError, UsageError
from comity.server.auth import CACHE_S, LASTS_S, NAMESPACE, Operators
from comity.testing import FakeClock, FakeEntropy, MemoryStore
from http_stage import HttpStage, register_outside, serving


def operators() -> tuple[Operators, FakeClock, MemoryStore]:
    clock = FakeClock()
    store = MemoryStore(clock)
    return Operators(store, clock, FakeEntropy(1)), clock, store


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_store_keeps_the_hash_of_a_token_alone() -> None:
    tokens, _, store = operators()
    token = await tokens.new("ci")
    assert token.startswith("co_")
    assert len(token) == 46
    (row,) = await store.states(NAMESPACE)
    assert token.encode() not in row.value
    assert token.removeprefix("co_").encode() not in row.value
    assert await tokens.check(token) == "ci"


async def test_the_first_token_is_made_once() -> None:
    tokens, _, _ = operators()
    assert await tokens.first() is not None
    assert await tokens.first() is None
    assert [token.name for token in await tokens.all()] == ["first"]


async def test_a_token_expires() -> None:
    tokens, clock, _ = operators()
    token = await tokens.new("ci")
    await clock.advance(LASTS_S - 1)
    assert await tokens.check(token) == "ci"
    await clock.advance(1)
    with pytest.raises(GovernanceError, match="`ci` has expired"):
        await tokens.check(token)


async def test_a_token_that_lasts_for_ever_does() -> None:
    tokens, clock, _ = operators()
    token = await tokens.new("ci", 0)
    await clock.advance(100 * LASTS_S)
    assert await tokens.check(token) == "ci"


async def test_rotating_voids_the_old_token_at_once() -> None:
    tokens, _, _ = operators()
    old = await tokens.new("ci")
    assert await tokens.check(old) == "ci"
    new = await tokens.rotate("ci")
    assert await tokens.check(new) == "ci"
    with pytest.raises(GovernanceError, match="none of this server"):
        await tokens.check(old)


async def test_a_token_revoked_elsewhere_is_void_within_a_moment() -> None:
    tokens, clock, store = operators()
    token = await tokens.new("ci")
    assert await tokens.check(token) == "ci"
    await Operators(store, clock, FakeEntropy(2)).revoke("ci")
    await clock.advance(CACHE_S)
    with pytest.raises(GovernanceError, match="none of this server"):
        await tokens.check(token)


async def test_names_are_unique_and_plain() -> None:
    tokens, _, _ = operators()
    await tokens.new("ci")
    with pytest.raises(UsageError, match="there is a token `ci` already"):
        await tokens.new("ci")
    with pytest.raises(UsageError, match="cannot name a token"):
        await tokens.new("a/b")
    with pytest.raises(UsageError, match="there is no token `cd`"):
        await tokens.revoke("cd")
    with pytest.raises(UsageError, match="there is no token `cd`"):
        await tokens.rotate("cd")


async def test_a_passing_token_is_known_to_its_process_alone() -> None:
    tokens, clock, store = operators()
    token = tokens.passing()
    assert await tokens.check(token) == "supervisor"
    assert await store.states(NAMESPACE) == []
    with pytest.raises(GovernanceError, match="none of this server"):
        await Operators(store, clock, FakeEntropy(2)).check(token)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": ""}, "no_token"),
        ({"Authorization": "Bearer"}, "no_token"),
        ({"Authorization": "Basic Y286Y28="}, "no_token"),
        ({"Authorization": "Bearer sk-123"}, "unknown_token"),
        ({"Authorization": "Bearer co_" + "A" * 43}, "unknown_token"),
        ({"Authorization": "Bearer ct_" + "A" * 48}, "unknown_token"),
        ({"Authorization": "Bearer co_\xe9"}, "unknown_token"),
        ({"Authorization": "Bearer ct_\xe9"}, "unknown_token"),
    ],
)
async def test_a_request_without_a_good_token_is_not_let_in(tmp_path: Path, headers: dict[str, Any], code: str) -> None:
    async with serving(tmp_path) as stage:
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        await stage.refusal("GET", "/tasks", 401, code, headers=encoded)
        answer = await stage.client.get("/api/v1/tasks", headers=encoded)
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_in_query_or_cookie_opens_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        headers = {"Authorization": "", "Cookie": f"token={stage.token}"}
        await stage.refusal("GET", f"/tasks?token={stage.token}", 401, "no_token", headers=headers)


async def test_an_expired_and_a_revoked_token_are_refused_over_http(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        short = await stage.operators.new("short", 1e-6)
        gone = await stage.operators.new("gone")
        await stage.operators.revoke("gone")
        await stage.refusal("GET", "/tasks", 401, "expired_token", headers=bearer(short))
        await stage.refusal("GET", "/tasks", 401, "unknown_token", headers=bearer(gone))


async def adopted(stage: HttpStage, **body: Any) -> tuple[str, str]:
    """Return an outside task, and the token of its program."""
    await register_outside(stage.store)
    task = (await stage.document("POST", "/tasks", 201, json={"agent": "visitor", "goal": "look"}))["id"]
    return task, (await stage.document("POST", f"/tasks/{task}/adopt", json=body))["token"]


async def test_a_tasks_token_opens_its_own_page_and_end_and_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        task, token = await adopted(stage)
        other, _ = await adopted(stage)
        await stage.document("GET", f"/tasks/{task}", headers=bearer(token))
        await stage.refusal("GET", f"/tasks/{other}", 403, "not_yours", headers=bearer(token))
        await stage.refusal("GET", "/tasks/nonsense", 403, "not_yours", headers=bearer(token))
        await stage.refusal("POST", f"/tasks/{other}/finish", 403, "not_yours", headers=bearer(token), json={})
        await stage.refusal("GET", "/tasks", 403, "not_yours", headers=bearer(token))
        for path in ("entries", "tree", "diff"):
            await stage.refusal("GET", f"/tasks/{task}/{path}", 403, "not_yours", headers=bearer(token))
        for order in ("cancel", "pause", "resume", "retry", "fork", "signal", "resolve", "adopt"):
            await stage.refusal("POST", f"/tasks/{task}/{order}", 403, "not_yours", headers=bearer(token), json={})
        await stage.document("POST", f"/tasks/{task}/finish", 202, headers=bearer(token), json={"result": 7})


async def test_the_token_of_a_program_that_was_replaced_opens_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        task, old = await adopted(stage)
        renewed = await stage.document("POST", f"/tasks/{task}/adopt", json={"renew": True})
        assert renewed["incarnation"] == 2
        await stage.refusal("GET", f"/tasks/{task}", 401, "old_incarnation", headers=bearer(old))
        await stage.document("GET", f"/tasks/{task}", headers=bearer(renewed["token"]))
