"""A plan counts for the acts of whom it was issued to, and for nobody else's."""

from __future__ import annotations

import pytest

from comity.coordination.admission import Admission
from comity.coordination.loading import read_world
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal
from comity.coordination.world import World
from comity.journal.world import Plan

WORLD = """
kinds:
  service: {id: "service/{name}", fields: {instances: {type: integer}}}
resources:
  service/web: {values: {instances: 3}}
tools:
  scale:
    touches: [{field: "service/{name}.instances", op: add, value: by}]
    plan: plan
"""


@pytest.mark.parametrize(("grant", "counted"), [("", "autumn"), ("clerk", "autumn"), ("rival", "")])
def test_a_plan_of_somebody_else_is_none(grant: str, counted: str) -> None:
    world = World(read_world(WORLD).document)
    picture = Picture(world)
    picture.plans = {"autumn": Plan("autumn", "service/*", "operator:ann", 10**9, 5, "any", grant)}
    args = {"name": "web", "by": 1, "plan": "autumn"}
    ruling = Admission(world, picture).judge(
        Proposal(call="t/1", ticket="t", task="00", actor="clerk", tool="scale", args=args), 1_000
    )
    assert ruling is not None
    assert ruling.touched is not None
    assert ruling.touched.plan == counted
