"""Deliberation: what a model weighed before a tool call. It is asked for in the tool's schema, and kept as a decision.

The property is taken out of the arguments before anything is asked; the decision is recorded before the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from comity.core.codec import canonical, digest
from comity.core.errors import UsageError
from comity.gateway.mcp_schema import misfit
from comity.gateway.question import Question
from comity.journal.call import Kind
from comity.journal.decision import Decision
from comity.journal.spec import AgentSpec, Deliberation, ToolSpec
from comity.models.stream import Thought

FIELD = "deliberation"
_OTHER_FIELD = "comity_deliberation"
_TEXT_CHARS_MAX = 20_000

_TEXTS = {"type": "array", "items": {"type": "string"}}
PROPERTIES: dict[str, Any] = {
    "issue": {"type": "string", "description": "What had to be decided, as a question."},
    "options": {
        **_TEXTS,
        "minItems": 1,
        "description": "What you could do, each in a few words; what you chose is one of them.",
    },
    "chosen": {"type": "string", "description": "The option that you chose, exactly as it stands in `options`."},
    "why": {"type": "string", "description": "Why you chose it, in a sentence or two."},
    "rejected": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "For each option that you did not choose: why not.",
    },
    "factors": {**_TEXTS, "description": "The facts that you weighed, each with where you have it from."},
    "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "How sure you are, from 0 to 1."},
    "assumptions": {**_TEXTS, "description": "What you take for granted without having checked it."},
}
"""What is asked of a decision; the names are those of `Decision`."""
REQUIRED = ["issue", "options", "chosen"]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Why you make this call. It is recorded as your decision; the tool does not see it.",
    "properties": PROPERTIES,
    "required": REQUIRED,
    "additionalProperties": False,
}
_EXAMPLE = '{"issue": "…?", "options": ["…", "…"], "chosen": "…", "why": "…"}'


def asked_of(agent: AgentSpec, spec: ToolSpec) -> Deliberation:
    """Return whether calls of a tool are to bring a deliberation."""
    terms = agent.outside
    is_meant = spec.effect in terms.deliberation_for if terms.deliberation_for else spec.effect.acts
    return terms.deliberation if is_meant else "off"


def field_of(spec: ToolSpec) -> str:
    """Return the property's name: `deliberation`, unless the tool has such an argument itself."""
    own = spec.schema.get("properties", {})
    return _OTHER_FIELD if FIELD in own else FIELD


def with_deliberation(agent: AgentSpec, spec: ToolSpec, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's schema as a client is shown it: with the property where the agent is asked for it."""
    asked = asked_of(agent, spec)
    if asked == "off":
        return dict(schema)
    field = field_of(spec)
    shown = {**schema, "properties": {**schema.get("properties", {}), field: SCHEMA}}
    if asked == "required":
        shown["required"] = [*schema.get("required", ()), field]
    return shown


def taken_out(agent: AgentSpec, spec: ToolSpec, args: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the deliberation in a call's arguments, None where there is none, and the arguments without it.

    Raises:
        UsageError: it is required and missing (`no_deliberation`), or is none (`bad_deliberation`).
    """
    asked, field = asked_of(agent, spec), field_of(spec)
    if asked == "off":
        return None, args
    given = args.get(field)
    if given is None:
        if asked == "required":
            text = f"a call of `{spec.name}` needs your deliberation, and has none; nothing was done"
            raise UsageError("no_deliberation", text, hint=f"call it again with `{field}`: {_EXAMPLE}")
        return None, {name: value for name, value in args.items() if name != field}
    wrong = misfit(SCHEMA, given, f"arguments.{field}")
    if wrong:
        raise UsageError("bad_deliberation", wrong, hint=f"for instance {_EXAMPLE}")
    return given, {name: value for name, value in args.items() if name != field}


def explained(spec: ToolSpec, args: bytes, given: Mapping[str, Any], thought: Thought | None) -> Question:
    """Return what records the deliberation of a call of `spec` with `args`. The same one again is no other decision.

    Raises:
        UsageError: what was chosen is none of the options.
    """
    question = decision(given, thought, tool=spec.name, arguments_sha256=digest(args).hex())
    return msgspec.structs.replace(question, is_retry=True)


def decision(given: Mapping[str, Any], thought: Thought | None, **provenance: str) -> Question:
    """Return what records a decision, with what its model said and reasoned in the thought that made it.

    `given` holds fields of `Decision`, options and factors also as plain texts, and `why`.

    Raises:
        UsageError: no option is named so, or two are.
    """
    fields = dict(given)
    fields["options"] = [{"id": item} if isinstance(item, str) else item for item in given["options"]]
    fields["factors"] = [{"name": item} if isinstance(item, str) else item for item in given.get("factors", ())]
    why = fields.pop("why", "")
    said = {"text": thought.text, "reasoning": thought.reasoning} if thought is not None else {}
    told = {"why": why, **said, **provenance}
    fields["provenance"] = {name: text[:_TEXT_CHARS_MAX] for name, text in told.items() if text}
    record = msgspec.convert(fields, Decision)
    ids = [item.id for item in record.options]
    if record.chosen not in ids or len(set(ids)) < len(ids):
        listed = ", ".join(f"`{name}`" for name in ids)
        text = (
            f"`{record.chosen}` is none of the options {listed}"
            if record.chosen not in ids
            else f"of {listed} two are alike"
        )
        raise UsageError("not_an_option", text, hint="name each option once, and choose one exactly as it is named")
    data = canonical(record, "decide")
    return Question(Kind.DECISION, "decide", data, digest(data))
