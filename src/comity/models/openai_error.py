"""Errors in the shape that OpenAI's APIs give them."""

from __future__ import annotations

from typing import Any

from comity.models.format import sentences

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_of(status: int, code: str, message: str, hint: str) -> dict[str, Any]:
    """Return the error object; its type follows from the status."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"message": sentences(message, hint), "type": kind, "param": None, "code": code}
