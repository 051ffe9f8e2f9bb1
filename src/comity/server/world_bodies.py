"""What requests about the shared world bring: bodies and queries, read strictly."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from comity.journal.world import ClaimMode, FieldValue
from comity.server.bodies import Label, Name, PageSize, PositiveSeconds

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""A moment, RFC 3339."""
TimeText = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A moment in a query, where a number would be read as one too; `Time` says what it must be."""
WorldText = Annotated[str, msgspec.Meta(max_length=4_000_000)]
Scope = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
"""A field, a resource, or a pattern of fields with `*`."""
Reason = Annotated[str, msgspec.Meta(max_length=2_000)]
OwnName = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Steps = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class WorldBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text of a world file, YAML or JSON; messages call it `name`."""

    text: WorldText
    name: Label = "world.yaml"


class ObservationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field's value, as it was seen `at` that moment (now where it is left out), or from then `until` another."""

    field: Scope
    value: FieldValue
    at: Time | None = None
    until: Time | None = None
    id: Label = ""


class ObservationsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Observations, taken together or not at all where one of them cannot be."""

    observations: Annotated[tuple[ObservationBody, ...], msgspec.Meta(min_length=1, max_length=1_000)]


class ClaimBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim over a scope for so many seconds; `reason` is shown to people alone.

    `is_change` announces a change outside Comity, under way or past, which began at `since`.
    """

    scope: Scope
    for_s: PositiveSeconds
    mode: ClaimMode = "exclusive"
    reason: Reason = ""
    is_change: bool = False
    since: Time | None = None
    id: OwnName | None = None


class PlanBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan: that many acts under a scope count as one intent, for so many seconds; `agent` alone may use it."""

    id: OwnName
    scope: Scope
    for_s: PositiveSeconds
    steps: Steps
    direction: Literal["up", "down", "any"] = "any"
    agent: Label = ""


class WouldTouchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that nobody makes: what would it touch?"""

    tool: Name
    args: dict[str, Any] = {}


class FieldsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which fields: those that match one of the patterns `field` (all without one), `after` the last page's last."""

    field: tuple[str, ...] = ()
    after: str = ""
    limit: PageSize = 100


class ReservationsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which reservations: those on fields that match a pattern, `after` the ticket of the last page's last."""

    field: str = ""
    after: str = ""
    limit: PageSize = 100


class ClaimsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"has_over": "over"}):
    """Which claims: of an owner, over a field; with `over` also those that are over; `after` an id."""

    owner: str = ""
    field: str = ""
    has_over: bool = False
    after: str = ""
    limit: PageSize = 100


class PlansQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of plans."""

    after: str = ""
    limit: PageSize = 100


class AlarmsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which alarms: after a moment, of a detector; the newest of them, oldest first."""

    since: TimeText | None = None
    detector: str = ""
    limit: PageSize = 100


class MapQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of the map: the last `window_s` before `until` (now), within `hops` of a `focus`."""

    format: Literal["json", "text", "dot", "svg", "png"] = "json"
    window_s: PositiveSeconds = 3_600.0
    until: TimeText | None = None
    focus: str = ""
    hops: Annotated[int, msgspec.Meta(ge=0, le=20)] = 2
    limit: Annotated[int, msgspec.Meta(ge=1, le=300)] = 300
    detail: Literal["agents", "calls"] = "agents"


class WhyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happened: a call (`TASK/CALL`), a version (`FIELD@VERSION`), a field, a resource."""

    of: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
