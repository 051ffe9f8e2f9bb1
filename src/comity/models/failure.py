"""How a model call can fail, as errors with stable codes.

Two codes say that nobody knows whether an answer was made, and so paid for: `model_broken` and `model_timeout`. With
all others no answer was made: `model_unreachable`, `model_busy`, `model_refused`, `model_unauthorized`,
`model_not_found`, `model_redirected`, `no_api_key`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from comity.core.errors import ComityError, Retry

UNKNOWN_CODES = frozenset({"model_broken", "model_timeout"})
TEXT_CHARS_MAX = 300
BUSY = frozenset({429, 503, 529})
_NO_MORE_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})

_BY_STATUS: Mapping[int, tuple[str, Retry, str]] = {
    400: ("model_refused", "rethink", "shorten the context or change what the request asks for"),
    401: ("model_unauthorized", "never", "check the key in the environment variable that `api_key_env` names"),
    402: ("model_unauthorized", "never", "the account of this upstream cannot pay"),
    403: ("model_unauthorized", "never", "the key in the variable that `api_key_env` names may not use this model"),
    404: ("model_not_found", "never", "check `model` of this model and `base_url` of its upstream"),
    408: ("model_busy", "redo", "try again"),
    409: ("model_busy", "redo", "try again"),
    413: ("model_refused", "rethink", "shorten the context"),
    422: ("model_refused", "rethink", "change what the request asks for"),
}


def broken(why: str) -> ComityError:
    """Return the error for an answer that began, or may have begun, and did not end well."""
    return ComityError("model_broken", f"the model's answer broke off: {why}", retry="redo")


def timed_out(upstream: str, seconds: float) -> ComityError:
    """Return the error for an upstream that fell silent."""
    text = f"upstream `{upstream}` was silent for {seconds:g} s"
    return ComityError("model_timeout", text, retry="redo", hint="raise `timeout_s` of the upstream")


def unreachable(upstream: str, why: str) -> ComityError:
    """Return the error for an upstream to which no connection was made."""
    text = f"upstream `{upstream}` cannot be reached: {short(why)}"
    return ComityError("model_unreachable", text, retry="redo", hint="check its `base_url` and the network")


def refused(upstream: str, status: int, body: bytes) -> ComityError:
    """Return the error for an answer with a status other than 2xx.

    A 5xx says that the server failed, not that it made nothing: it counts as broken, except for *busy* (503, 529).
    """
    said, reason = told(body)
    text = f"upstream `{upstream}` answered {status}: {said}" if said else f"upstream `{upstream}` answered {status}"
    if 300 <= status < 400:
        hint = "redirects are never followed, since they would carry the key elsewhere: name the final `base_url`"
        return ComityError("model_redirected", f"upstream `{upstream}` answered {status}: a redirect", hint=hint)
    if reason in _NO_MORE_CREDIT:
        return ComityError("model_unauthorized", text, hint="the account of this upstream has no credit left")
    if status in BUSY:
        return ComityError("model_busy", text, retry="redo", hint="try again later, or lower the number of workers")
    if status >= 500:
        return ComityError("model_broken", text, retry="redo")
    code, retry, hint = _BY_STATUS.get(status, ("model_refused", "rethink", "change what the request asks for"))
    return ComityError(code, text, retry=retry, hint=hint)


def told(body: bytes) -> tuple[str, str]:
    """Return what an error body says in words, and the server's own code for it ("" where it has none)."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body.decode(errors="replace").strip()
        return ("" if text.startswith("<") else short(text)), ""
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return short(str(error)), ""
    message = error.get("message") or error.get("detail") or ""
    code = error.get("code") or error.get("type") or ""
    return short(str(message)), code if isinstance(code, str) else ""


def short(text: str) -> str:
    """Return `text` on one line, cut to what a message may hold."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARS_MAX else line[: TEXT_CHARS_MAX - 1] + "…"
