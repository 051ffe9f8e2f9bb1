"""Claims: whom they hold back, and what nobody may claim."""

from __future__ import annotations

from typing import Any

import pytest

from comity.coordination.claims import CLAIMS_MAX, check_claim, goes, held_back, under
from comity.core.errors import UsageError
from comity.journal.world import Change, Claim
from unit.coordination.small_world import NOW, Desk, N, S


def claim(**changes: Any) -> Claim:
    given = {"id": "c", "scope": "svc/a", "mode": "exclusive", "owner": "agent:other", "since_us": NOW}
    return Claim(**{**given, "until_us": NOW + 60 * S, **changes})


def back(desk: Desk, *claims: Claim, op: str = "add", value: Any = 1) -> Claim | None:
    desk.picture.claims = {item.id: item for item in claims}
    return held_back(Change(N, op, value), "agent:me", "agent", desk.picture, desk.now)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["exclusive", "hands-off", "leave-as-is", "shared"])
def test_a_claim_holds_others_back(mode: str) -> None:
    assert back(Desk(), claim(mode=mode)) is not None


def test_a_claim_holds_only_its_scope_in_its_time_and_nobody_of_its_own() -> None:
    desk = Desk()
    assert back(desk, claim(scope="svc/b")) is None
    assert back(desk, claim(since_us=NOW + 1)) is None
    assert back(desk, claim(until_us=NOW)) is None
    assert back(desk, claim(owner="agent:me")) is None
    assert back(desk, claim(scope="svc/*")) is not None


def test_people_stand_over_operators_over_agents() -> None:
    desk = Desk()
    desk.picture.claims = {"c": claim(rank="operator")}
    change = Change(N, "add", 1)
    assert held_back(change, "person:x", "person", desk.picture, NOW) is None
    assert held_back(change, "operator:x", "operator", desk.picture, NOW) is not None
    assert held_back(change, "agent:x", "agent", desk.picture, NOW) is not None


def test_who_shares_may_act_beside_the_others() -> None:
    mine = claim(id="mine", owner="agent:me", mode="shared")
    assert back(Desk(), claim(mode="shared"), mine) is None


@pytest.mark.parametrize(
    ("mode", "op", "value", "is_held"),
    [
        ("up-only", "add", 1, False),
        ("up-only", "add", -1, True),
        ("up-only", "set", 4, False),
        ("up-only", "set", 3, True),
        ("down-only", "add", -1, False),
        ("down-only", "add", 1, True),
        ("down-only", "set", 5, True),
        ("up-only", "set", "x", True),
        ("up-only", "append", 5, True),
    ],
)
def test_one_way_claims_let_that_way_pass(mode: str, op: str, value: Any, is_held: bool) -> None:
    assert (back(Desk(), claim(mode=mode), op=op, value=value) is not None) is is_held


def test_one_way_counts_what_is_in_flight() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    assert not goes(Change(N, "set", 5), desk.picture, "up")
    assert goes(Change(N, "set", 6), desk.picture, "up")
    assert goes(Change(N, "set", 6), desk.picture, "any")


def test_an_act_under_a_claim_of_its_own_says_so() -> None:
    desk = Desk()
    desk.picture.claims = {"c": claim(owner="agent:me")}
    assert under([Change(N, "add", 1)], "agent:me", desk.picture, NOW) == "c"
    assert under([Change(N, "add", 1)], "agent:you", desk.picture, NOW) == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"until_us": NOW}, "claim_over"),
        ({"until_us": NOW + 5 * 3_600 * S}, "claim_too_long"),
        ({"scope": "*"}, "claim_too_broad"),
        ({"scope": "s*/a"}, "claim_too_broad"),
        ({"scope": ""}, "claim_too_broad"),
        ({"scope": "other/a"}, "unknown_scope"),
    ],
)
def test_what_nobody_may_claim(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_claim(claim(**changes), Desk().picture, NOW)
    assert caught.value.code == code
    assert caught.value.hint


def test_a_claim_on_what_another_holds_exclusively_is_refused() -> None:
    desk = Desk()
    desk.picture.claims = {"c": claim()}
    with pytest.raises(UsageError) as caught:
        check_claim(claim(id="d", owner="agent:me", scope="svc/*"), desk.picture, NOW)
    assert caught.value.code == "claimed_already"
    check_claim(claim(id="d", owner="person:me", rank="person", scope="svc/*"), desk.picture, NOW)
    check_claim(claim(id="d", owner="agent:me", scope="svc/b"), desk.picture, NOW)


def test_nobody_has_more_claims_than_so_many() -> None:
    desk = Desk()
    desk.picture.claims = {str(n): claim(id=str(n)) for n in range(CLAIMS_MAX["agent"])}
    with pytest.raises(UsageError) as caught:
        check_claim(claim(id="more"), desk.picture, NOW)
    assert caught.value.code == "too_many_claims"
    check_claim(claim(id="3"), desk.picture, NOW)
