"""What a client of the tool URL is told of a call: MCP's `CallToolResult`, in the shape of its era.

A refusal or failure is a result too, so that the model reads why, and what would help, and can think again with facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comity.core.codec import canonical, decode
from comity.gateway.mcp_schema import misfit
from comity.gateway.mcp_wire import without_protocol_keys
from comity.journal.call import Delivered, Status
from comity.journal.spec import ToolSpec

Result = dict[str, Any]
"""A `CallToolResult` as JSON."""
WRAPPED = "result"
"""Under this name servers give what is no object. Source: the official SDK (`x-fastmcp-wrap-result`)."""


def outcome_result(spec: ToolSpec, delivered: Delivered, *, is_modern: bool) -> Result:
    """Return what a tool's outcome is to a client; of an MCP server's tool it is what that server answered.

    A result that a person gave fits the tool's output schema, or is told as an error: a client that checks results
    would fail at it, and at each replay again.
    """
    output = shown_output(spec, is_modern=is_modern)
    if delivered.status is not Status.DONE:
        return problem_result(delivered, acts=spec.effect.acts, is_structured=not output)
    value = decode(delivered.value)
    if spec.server and isinstance(value, dict) and isinstance(value.get("content"), list):
        return _completed(_passed_on(value, is_modern=is_modern), output)
    return _fitted(value, output) if output else value_result(value, is_structured=isinstance(value, dict))


def shown_output(spec: ToolSpec, *, is_modern: bool) -> dict[str, Any]:
    """Return the schema of a tool's result where a client's era can have it: before 2026 only of an object."""
    return spec.output if is_modern or spec.output.get("type") == "object" else {}


def value_result(value: Any, *, is_structured: bool = True) -> Result:
    """Return a plain value as a result: text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else canonical(value).decode()
    return text_result(text, **({"structuredContent": value} if is_structured else {}))


def text_result(text: str, **more: Any) -> Result:
    """Return a result that reads `text`."""
    return {"content": [{"type": "text", "text": text}], **more}


def problem_result(delivered: Delivered, *, acts: bool, is_structured: bool = True) -> Result:
    """Return what a model is told of a call without a value: the reason, the remedy, and whether to try again."""
    reason = delivered.error or f"the call ended {delivered.status}"
    code, remedy = delivered.code or str(delivered.status), delivered.hint
    if delivered.status is Status.REFUSED:
        told = f"refused, nothing was done: {reason}"
    elif delivered.status is Status.UNKNOWN:
        code, told = "in_doubt", f"in doubt, nobody knows whether it happened: {reason}"
        remedy = remedy or "do not repeat it blindly: look whether it happened, or ask a person"
    elif acts:
        told = f"it did not happen: {reason}"
    else:
        told = f"failed: {reason}"
    facts = {"code": code, "reason": reason, "remedy": remedy, "retry": delivered.retry}
    return _problem(told, facts, is_structured=is_structured)


def unfit_result(code: str, reason: str, remedy: str) -> Result:
    """Return what a model is told of a call that was not even asked."""
    return _problem(reason, {"code": code, "reason": reason, "remedy": remedy, "retry": "rethink"})


def _problem(told: str, facts: Mapping[str, str], *, is_structured: bool = True) -> Result:
    lines = [told, *([facts["remedy"]] if facts["remedy"] else []), f"(code {facts['code']}, retry: {facts['retry']})"]
    more = {"structuredContent": dict(facts)} if is_structured else {}
    return text_result("\n".join(lines), isError=True, **more)


def _passed_on(value: dict[str, Any], *, is_modern: bool) -> Result:
    result: Result = {"content": value["content"]}
    if value.get("isError"):
        result["isError"] = True
    meta = without_protocol_keys(value.get("_meta"))
    if meta:
        result["_meta"] = meta
    if "structuredContent" not in value:
        return result
    structured = value["structuredContent"]
    if is_modern or isinstance(structured, dict):
        result["structuredContent"] = structured
    elif not result["content"]:
        result["content"] = value_result(structured)["content"]
    return result


def _fitted(value: Any, output: Mapping[str, Any]) -> Result:
    """Return a plain value as a result that fits `output`: as it is, or as servers wrap what is no object."""
    for structured in (value, {WRAPPED: value}):
        if not misfit(output, structured):
            return {**value_result(value), "structuredContent": structured}
    text = value_result(value)["content"][0]["text"]
    facts = {"code": "misfit_result", "remedy": "do not repeat it: it is recorded as done", "retry": "never"}
    told = f"it was done, but what is recorded of its result does not fit the tool's output schema: {text}"
    return _problem(told, facts, is_structured=False)


def _completed(result: Result, output: Mapping[str, Any]) -> Result:
    """Return an answer with the structured content that its schema promises, where its text alone says it."""
    if not output or "structuredContent" in result or result.get("isError"):
        return result
    texts = [block.get("text") for block in result["content"] if isinstance(block, dict)]
    if len(texts) == 1 and not misfit(output, wrapped := {WRAPPED: texts[0]}):
        return {**result, "structuredContent": wrapped}
    return result
