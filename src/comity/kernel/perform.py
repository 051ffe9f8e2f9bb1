"""*perform*: reach the device under the permit. One that is here (clock, random seed, note) answers at once."""

from __future__ import annotations

import msgspec

from comity.core.codec import canonical, decode
from comity.core.errors import ComityError
from comity.journal.call import Attempt, AttemptEnd, Call, Kind, Permit
from comity.journal.envelope import ENVELOPE
from comity.journal.ports import ModelRequest
from comity.kernel import children
from comity.kernel.passage import Passage

_NULL = Attempt("done")
BROKEN = frozenset({"model_broken", "model_timeout"})
"""Codes of a model's errors after which nobody knows whether it answered, and what that cost."""


async def perform(passage: Passage) -> Attempt:
    """Perform one attempt and return how it ended."""
    kind = passage.call.kind
    passage.tries += 1
    if kind in (Kind.TOOL, Kind.MODEL, Kind.WORLD):
        return await _reach(passage)
    if kind == Kind.SPAWN:
        return await children.plan(passage)
    if kind == Kind.NOW:
        return Attempt("done", canonical(passage.run.kernel.clock.wall_us()))
    if kind == Kind.RANDOM:
        return Attempt("done", canonical(passage.run.kernel.entropy.take(16).hex()))
    return _NULL


async def _reach(passage: Passage) -> Attempt:
    """Go to a hand, a model or the world; not where the permit ran out or the task was stopped: nothing starts then."""
    run, permit = passage.run, passage.permit()
    if permit.expires_s <= run.kernel.clock.monotonic_s() or run.kernel.stops.over(run.scopes):
        return Attempt("expired")
    run.started(permit)
    try:
        if passage.call.kind == Kind.WORLD:
            ended: Attempt = await run.kernel.world.perform(permit, passage.call, passage.view())
            return ended
        return await (_act(passage, permit) if passage.call.kind == Kind.TOOL else _think(passage, permit))
    finally:
        run.stopped_performing(permit)
        run.starts.pop(id(passage), None)


async def _act(passage: Passage, permit: Permit) -> Attempt:
    run, spec = passage.run, passage.spec
    if spec is None:
        return Attempt("unknown", error=f"tool `{passage.call.name}` is no longer in the agent's file")
    call = msgspec.structs.replace(passage.call, args=await passage.performed_args())
    return await run.kernel.hand.perform(permit, call, spec, lambda text, part: run.progressed(call, text, part))


async def _think(passage: Passage, permit: Permit) -> Attempt:
    run = passage.run
    call = msgspec.structs.replace(passage.call, args=await passage.performed_args())
    try:
        request = await _request(passage, call)
        async for delta in run.kernel.model.stream(permit, request):
            if delta.raw:
                run.stream(passage.asked.key, permit.attempt, delta.raw)
            if delta.text:
                run.kernel.on_delta(run.row.id, permit, delta.text)
            if delta.message:
                run.measured(passage.context, delta.cost)
                return Attempt("done", delta.message, cost=passage.reserve if delta.cost is None else delta.cost)
    except ComityError as error:
        if error.code == "permit_expired":
            return Attempt("expired")
        end: AttemptEnd = "unknown" if error.code in BROKEN else "failed"
        return Attempt(end, error=error.message, code=error.code, hint=error.hint)
    return Attempt("unknown", error="the model's stream ended without an answer")


async def _request(passage: Passage, call: Call) -> ModelRequest:
    run = passage.run
    args = decode(call.args)
    assert passage.context is not None
    messages = await run.contexts.messages(passage.context)
    if "wire" in args:
        rest, envelope = args["rest"].encode(), args.get(ENVELOPE, "")
        return ModelRequest(call.name, messages, (), args["params"], args["wire"], rest, envelope)
    tools = [run.tools[name] for name in args.get("tools", ()) if name in run.tools]
    offered = tuple(
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
        for t in tools
    )
    params = dict(args.get("params", {}))
    if passage.limits is not None:
        params.setdefault("max_tokens", passage.limits.output_tokens_max)
    return ModelRequest(call.name, messages, offered, params, envelope=args.get(ENVELOPE, ""))
