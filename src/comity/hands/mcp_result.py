"""What an MCP server's answer says of an attempt: its result, or what became of the effect where that is an error."""

from __future__ import annotations

from typing import Any

from mcp import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND

from comity.core.codec import canonical, parse
from comity.core.errors import ComityError
from comity.core.limits import SEGMENT_BYTES_MAX
from comity.hands.boundary import ERROR_CHARS_MAX, undecided
from comity.hands.mcp_sending import Sending
from comity.journal.call import Attempt, Call
from comity.journal.spec import ToolSpec

RESULT_FIELDS = ("content", "structuredContent", "isError", "_meta")
"""Of a `CallToolResult`; what else an answer has is the protocol's and not the tool's."""
DENIALS = frozenset({METHOD_NOT_FOUND, INVALID_PARAMS})
"""Errors by which a server says that it called no tool."""


NOT_MADE = frozenset({"upstream_refused", "upstream_unreachable", "tool_denied"})
"""Codes of attempts that certainly called no tool."""


def returned(tool: ToolSpec, call: Call, raw: dict[str, Any]) -> Attempt:
    """Return the attempt that a server answered with `raw`, a `CallToolResult` in MCP's own field names."""
    if raw.get("resultType", "complete") != "complete":
        return Attempt("unknown", error=f"the tool asks for more ({raw['resultType']}), which nobody here can give")
    is_clean_up = call.branch.startswith("~")
    if raw.get("isError"):
        return _erred(tool, raw, is_clean_up=is_clean_up)
    value = _plain(raw) if is_clean_up else {name: raw[name] for name in RESULT_FIELDS if name in raw}
    return _done(tool, value)


def broken(tool: ToolSpec, error: BaseException, sending: Sending) -> Attempt:
    """Return how an attempt ended whose call brought no result: only what its server denied is known not to be."""
    if sending.refused:
        text = f"upstream `{tool.server}` cannot be used: {sending.refused}"
        return Attempt("failed", error=text[:ERROR_CHARS_MAX], code="upstream_refused")
    if not sending.is_sent:
        return unreached(tool, said(error))
    text = f"upstream `{tool.server}`: {said(error)}"[:ERROR_CHARS_MAX]
    if isinstance(error, MCPError) and error.code in DENIALS:
        return Attempt("failed", error=text, code="tool_denied", hint="correct the arguments, or use another tool")
    return Attempt("unknown", error=text)


def unreached(tool: ToolSpec, why: str) -> Attempt:
    """Return the attempt of a call that was not sent, since its server is not there."""
    text = f"upstream `{tool.server}` cannot be reached: {why}"[:ERROR_CHARS_MAX]
    return Attempt("failed", error=text, code="upstream_unreachable", hint="try again later, or do without")


def said(error: BaseException) -> str:
    """Return in words what went wrong; of several things, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return error.message
    if isinstance(error, ComityError):
        return error.message
    if isinstance(error, TimeoutError):
        return "it took too long"
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]


def _erred(tool: ToolSpec, raw: dict[str, Any], *, is_clean_up: bool) -> Attempt:
    """Return the attempt whose tool answered an error: what that says of the effect is the tool's to declare."""
    means = tool.error_means or ("unknown" if tool.effect.acts else "answer")
    if means == "answer" and not is_clean_up:
        return _done(tool, {name: raw[name] for name in RESULT_FIELDS if name in raw})
    text = _text(raw)[:ERROR_CHARS_MAX] or "the tool answered an error and did not say which"
    return Attempt("unknown" if means == "unknown" else "failed", error=text, code="tool_error")


def _done(tool: ToolSpec, value: Any) -> Attempt:
    try:
        data = canonical(value, "result")
    except ComityError as error:
        return undecided(f"the tool's result cannot be kept: {error.message}", acts=tool.effect.acts)
    if len(data) > SEGMENT_BYTES_MAX:
        text = f"the tool's result has {len(data)} bytes, the limit is {SEGMENT_BYTES_MAX}"
        return undecided(text, acts=tool.effect.acts)
    return Attempt("done", data)


def _plain(raw: dict[str, Any]) -> Any:
    """Return what a tool that reconciles, compensates or verifies answers: an object or a truth; None for else."""
    structured = raw.get("structuredContent")
    if isinstance(structured, dict):
        truth = structured.get("result") if len(structured) == 1 else None
        return truth if isinstance(truth, bool) else structured
    try:
        value = parse(_text(raw), "result")
    except ComityError:
        return None
    return value if isinstance(value, dict | bool) else None


def _text(raw: dict[str, Any]) -> str:
    blocks = raw.get("content")
    found = [block.get("text") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    return "\n".join(text for text in found if isinstance(text, str))
