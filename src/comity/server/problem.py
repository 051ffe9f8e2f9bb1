"""Errors on the wire: RFC 9457 problem documents, and the one table that says which error has which status."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from starlette.responses import Response

from comity.core.errors import (
    BudgetError,
    ComityError,
    CoordinationError,
    GovernanceError,
    HandsError,
    JournalError,
    LeaseError,
    Retry,
    StoreError,
    UsageError,
)

MEDIA_TYPE: Final = "application/problem+json"

BY_CODE: Final[dict[str, int]] = {
    "no_token": 401,
    "unknown_token": 401,
    "expired_token": 401,
    "old_incarnation": 401,
    "not_yours": 403,
    "may_not_plan": 403,
    "may_not_end": 403,
    "foreign_host": 403,
    "foreign_origin": 403,
    "no_such_path": 404,
    "no_such_agent": 404,
    "no_such_claim": 404,
    "no_world": 404,
    "unknown_detector": 404,
    "unknown_field": 404,
    "unknown_scope": 404,
    "unknown_agent": 404,
    "no_such_call": 404,
    "no_such_entry": 404,
    "no_such_limit": 404,
    "no_such_model": 404,
    "no_such_session": 404,
    "no_such_task": 404,
    "no_such_tool": 404,
    "not_an_id": 404,
    "not_a_scope": 404,
    "not_asked": 404,
    "not_stopped": 404,
    "bad_method": 405,
    "already_adopted": 409,
    "bad_argument": 409,
    "bad_value": 409,
    "claim_over": 409,
    "claim_too_broad": 409,
    "claim_too_long": 409,
    "claimed_already": 409,
    "empty_baseline": 409,
    "in_the_future": 409,
    "plan_exists": 409,
    "plan_over": 409,
    "too_many_claims": 409,
    "key_reused": 409,
    "not_a_fork": 409,
    "not_an_option": 409,
    "not_created": 409,
    "not_declared": 409,
    "not_failed": 409,
    "not_happened_result": 409,
    "not_in_doubt": 409,
    "not_outside": 409,
    "not_parked": 409,
    "nothing_to_accept": 409,
    "result_and_error": 409,
    "task_ended": 409,
    "body_too_large": 413,
    "goal_too_large": 413,
    "not_json_body": 415,
    "bad_world": 422,
    "draining": 503,
    "no_lease": 503,
    "store_silent": 503,
    "too_many_watchers": 503,
}
"""Statuses of errors that say more than their family."""

BY_FAMILY: Final[tuple[tuple[type[ComityError], int], ...]] = (
    (UsageError, 400),
    (StoreError, 503),
    (LeaseError, 503),
    (GovernanceError, 403),
    (BudgetError, 409),
    (CoordinationError, 409),
    (HandsError, 502),
    (JournalError, 500),
    (ComityError, 500),
)
"""Statuses of all others: the first family that fits."""


class Problem(msgspec.Struct, frozen=True):
    """An error: `code` is stable, `detail` names what was wrong, `hint` the way out, `retry` what may be tried."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str
    retry: Retry


def status_of(error: ComityError) -> int:
    """Return the status of an error."""
    return BY_CODE.get(error.code) or next(status for family, status in BY_FAMILY if isinstance(error, family))


def problem_of(error: ComityError) -> Problem:
    """Return the document of an error."""
    status = status_of(error)
    kind = f"urn:comity:problem:{error.code}"
    return Problem(kind, HTTPStatus(status).phrase, status, error.message, error.code, error.hint, error.retry)


def problem_response(error: ComityError, headers: dict[str, str] | None = None) -> Response:
    """Return the answer to a request that met an error."""
    problem = problem_of(error)
    extra = dict(headers or {})
    if problem.status == HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = "Bearer"
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra["Retry-After"] = "1"
    return Response(msgspec.json.encode(problem), problem.status, extra, MEDIA_TYPE)
