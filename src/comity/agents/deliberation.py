"""Deliberation: makes a decision record of what an agent gives, and lets a model choose where the agent did not.

A model is asked for JSON with the options as an enum, its answer is read strictly, and it gets one second chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from comity.agents.conversation import Conversation, as_text
from comity.core.codec import parse
from comity.core.errors import CallFailed, UsageError
from comity.journal.decision import Argument, Decision, Factor, Option

if TYPE_CHECKING:
    from comity.agents.context import Context, Messages


class Deliberation(TypedDict, total=False):
    """What may be said about a decision; names and meanings as in `Decision`.

    `messages` is what a model sees before the question, `model` which one is asked: they matter where a model chooses.
    """

    factors: Sequence[Factor]
    arguments: Sequence[Argument]
    rejected: Mapping[str, str]
    confidence: float | None
    assumptions: Sequence[str]
    authority: Sequence[str]
    reads: Mapping[str, str]
    ttl_s: float | None
    revalidate_if: Sequence[str]
    supersedes: str
    messages: Messages
    model: str


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model answers when it is to choose."""

    chosen: str
    why: str = ""
    confidence: float | None = None


async def deliberate(
    context: Context, question: str, options: Sequence[str | Option], chosen: str | None, why: Deliberation
) -> Decision:
    """Return the record of a decision, after asking a model where `chosen` is None.

    Raises:
        UsageError: no options, two of one id, or `chosen` is none of them.
        CallFailed: the model named none of them, twice.
    """
    possible = tuple(Option(item) if isinstance(item, str) else item for item in options)
    ids = [item.id for item in possible]
    if not ids or len(set(ids)) < len(ids):
        raise UsageError(
            "no_options", f"`{question}` has options {ids}", hint="give at least one, each with an id of its own"
        )
    arguments = tuple(why.get("arguments", ()))
    confidence = why.get("confidence")
    provenance: dict[str, str] = {}
    if chosen is None:
        model = why.get("model") or context.model
        choice = await _ask(context, model, question, possible, why)
        chosen, provenance = choice.chosen, {"model": model, "why": choice.why}
        confidence = choice.confidence if confidence is None else confidence
    elif chosen not in ids:
        raise UsageError(
            "not_an_option", f"`{chosen}` is none of the options {ids}", hint="choose one of them by its id"
        )
    return Decision(
        issue=question,
        options=possible,
        chosen=chosen,
        factors=tuple(why.get("factors", ())),
        arguments=arguments,
        rejected=dict(why.get("rejected", {})),
        confidence=confidence,
        assumptions=tuple(why.get("assumptions", ())),
        authority=tuple(why.get("authority", ())),
        reads=dict(why.get("reads", {})),
        ttl_s=why.get("ttl_s"),
        revalidate_if=tuple(why.get("revalidate_if", ())),
        supersedes=why.get("supersedes", ""),
        provenance=provenance,
    )


async def _ask(context: Context, model: str, question: str, options: tuple[Option, ...], why: Deliberation) -> Choice:
    ids = [item.id for item in options]
    given = why.get("messages", ())
    conversation = Conversation([{"role": "user", "content": given}] if isinstance(given, str) else given)
    conversation.user(_prompt(question, options, why))
    form = {
        "type": "json_schema",
        "json_schema": {"name": "decision", "strict": True, "schema": _schema(ids)},
    }
    problem = ""
    for _attempt in range(2):
        answer = await context.think(conversation, model=model, response_format=form)
        try:
            return _read(answer.text, ids)
        except UsageError as error:
            problem = error.message
        conversation.append(answer)
        conversation.user(f"That cannot be used: {problem}. Answer with the JSON object only.")
    raise CallFailed(
        "undecided", f"the model named none of the options {ids} of `{question}`: {problem}", retry="rethink"
    )


def _prompt(question: str, options: tuple[Option, ...], why: Deliberation) -> str:
    lines = [question, "", "Options:"]
    for item in options:
        told = [
            part
            for part in (item.action, item.effect and f"effect: {item.effect}", item.cost and f"cost: {item.cost}")
            if part
        ]
        lines.append(f"- {item.id}{': ' if told else ''}{'; '.join(told)}")
    factors = why.get("factors", ())
    if factors:
        lines += ["", "Facts:"]
        lines += [
            f"- {item.name}: {as_text(item.value)} ({item.direction}, from {item.source or 'no source'})"
            for item in factors
        ]
    lines += ["", 'Answer with a JSON object: {"chosen": an option\'s id, "why": a sentence, "confidence": 0 to 1}.']
    return "\n".join(lines)


def _schema(ids: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "chosen": {"type": "string", "enum": ids},
            "why": {"type": "string"},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "required": ["chosen", "why", "confidence"],
        "additionalProperties": False,
    }


def _read(text: str, ids: list[str]) -> Choice:
    try:
        choice = msgspec.convert(parse(text, "answer"), Choice)
    except msgspec.ValidationError as error:
        raise UsageError("not_a_choice", str(error)) from None
    if choice.chosen not in ids:
        raise UsageError("not_a_choice", f"`{choice.chosen}` is none of {ids}")
    return choice
