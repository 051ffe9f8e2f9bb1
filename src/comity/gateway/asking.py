"""From a model request to a question: its context, its arguments, and what of it may not pass."""

from __future__ import annotations

from typing import Any

from comity.core.codec import Digest, canonical
from comity.gateway.exchange import Exchange
from comity.gateway.question import Question, exact_thought
from comity.gateway.refusal import Refusal
from comity.gateway.visit import Visit
from comity.journal.call import Kind
from comity.journal.segment import EMPTY_HEAD, Segment, head_after, segment
from comity.models.format import RequestParts, WireFormat

_FORWARDED = (b"anthropic-version", b"anthropic-beta", b"openai-beta")
"""Headers of a program that its upstream is sent."""
_RETRY_COUNT = b"x-stainless-retry-count"


def thought_of(visit: Visit, wire: WireFormat, parts: RequestParts, exchange: Exchange) -> Question:
    """Return the question that a model request asks.

    Raises:
        Refusal: it asks for what cannot be served, or names tools that run at the provider, past the tool URL.
    """
    for problem in parts.problems:
        raise Refusal(400, problem.code, problem.error, problem.hint)
    foreign = [name for name in parts.hosted if name not in visit.agent.outside.hosted_tools]
    if foreign:
        text = f"the request names `{foreign[0]}`, a tool that runs at the provider, past the tool URL"
        hint = (
            f'take it out, or allow it: `hosted_tools = ["{foreign[0]}"]` under `[agents.{visit.agent.name}.outside]`'
        )
        raise Refusal(400, "hosted_tool", text, hint)
    heads, base, segments = _context(visit, parts.messages)
    mask = wire.masked(parts, visit.agent.outside)
    inside = visit.inside(parts.tools)
    args: dict[str, Any] = {
        "model": parts.model,
        "head": heads[-1].hex(),
        "tools": parts.tools,
        "params": _params(parts, exchange),
        "wire": wire.name,
        "rest": parts.rest.decode(),
        "mask": mask.hex(),
        "roles": parts.roles,
    }
    if inside:
        args["inside"] = inside
    return Question(
        Kind.MODEL,
        parts.model,
        canonical(args, "request"),
        exact=exact_thought(wire.name, parts.model, heads[-1].hex(), parts.rest),
        mask=mask,
        roles=parts.roles,
        is_retry=exchange.header(_RETRY_COUNT) not in ("", "0"),
        heads=heads,
        base=base,
        segments=segments,
        results=tuple((index, parts.messages[index]) for index in parts.told),
    )


def _context(visit: Visit, messages: tuple[bytes, ...]) -> tuple[tuple[Digest, ...], Digest, tuple[Segment, ...]]:
    """Return the head after each message, the longest part of them that the kernel knows, and what it does not know."""
    segments = tuple(segment(item) for item in messages)
    heads: list[Digest] = []
    base, known = EMPTY_HEAD, 0
    for count, item in enumerate(segments, 1):
        heads.append(head_after(heads[-1] if heads else EMPTY_HEAD, (item.sha256,)))
        if heads[-1] in visit.heads:
            base, known = heads[-1], count
    return tuple(heads), base, segments[known:]


def _params(parts: RequestParts, exchange: Exchange) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if parts.output_tokens_max is not None:
        params["max_tokens"] = parts.output_tokens_max
    headers = {name.decode(): exchange.header(name) for name in _FORWARDED if exchange.header(name)}
    if headers:
        params["headers"] = headers
    return params
