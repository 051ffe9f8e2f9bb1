"""What the API orders of tasks: cancel, pause, resume, retry, fork, signal, resolve, adopt, finish."""

from __future__ import annotations

import msgspec

from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.core.ids import show_id
from comity.core.limits import GOAL_BYTES_MAX
from comity.journal.entry import Ended, Moved
from comity.journal.task import TaskRow
from comity.kernel.fork import Changes, could_happen_again
from comity.runtime.nodes import nodes_up
from comity.server.asking import Ask
from comity.server.bodies import (
    AdoptBody,
    FinishBody,
    ForkBody,
    ForkQuery,
    ResolveBody,
    ResumeBody,
    RetryBody,
    SignalBody,
)
from comity.server.documents import AdoptDocument, ForkDocument, ForkPreview, OrderDocument, Urls
from comity.server.task_operations import limits_given


async def cancel(ask: Ask) -> OrderDocument:
    """End a task."""
    await ask.orders.cancel(ask.task)
    return await _sent(ask, "cancel")


async def pause(ask: Ask) -> OrderDocument:
    """Park a task."""
    await ask.orders.pause(ask.task)
    return await _sent(ask, "pause")


async def resume(ask: Ask) -> OrderDocument:
    """Let a parked task go on."""
    body: ResumeBody = ask.body
    await ask.orders.resume(ask.task, limits_given(body.budget))
    return await _sent(ask, "resume")


async def retry(ask: Ask) -> OrderDocument:
    """Let a failed task go on."""
    body: RetryBody = ask.body
    await ask.orders.retry(ask.task, body.how)
    return await _sent(ask, "retry")


async def signal(ask: Ask) -> OrderDocument:
    """Send a signal."""
    body: SignalBody = ask.body
    await ask.orders.signal(ask.task, body.name, body.value, body.key)
    return await _sent(ask, "signal")


async def resolve(ask: Ask) -> OrderDocument:
    """Say how a call in doubt ended."""
    body: ResolveBody = ask.body
    said = {"note": body.note} if body.note else {}
    if body.result is not None and body.verdict != "happened":
        hint = "give it with the verdict `happened`"
        raise UsageError("not_happened_result", "what did not happen has no `result`", hint=hint)
    if body.result is not None:
        said["result"] = body.result
    await ask.orders.row(ask.task)
    await ask.orders.resolve(ask.task, body.call, body.verdict, **said)
    return await _sent(ask, "resolve")


async def fork(ask: Ask) -> ForkDocument:
    """Go on from an entry of a task with another goal, model or code."""
    body: ForkBody = ask.body
    goal = b"" if body.goal is msgspec.UNSET else canonical(body.goal, "goal")
    if len(goal) > GOAL_BYTES_MAX:
        text = f"the goal has {len(goal)} bytes, at most {GOAL_BYTES_MAX} fit"
        raise UsageError("goal_too_large", text, hint="put the material into a file that a tool reads")
    at = body.at or await _place(ask, has_goal=bool(goal))
    made, again = await ask.orders.fork(ask.task, at, Changes(goal, body.model, body.live))
    return ForkDocument(show_id(made), show_id(ask.task), at, body.live, again if body.live else [])


async def preview_fork(ask: Ask) -> ForkPreview:
    """Tell what a live fork may perform once more."""
    query: ForkQuery = ask.query
    at = query.at or await _place(ask, has_goal=query.has_goal)
    entries = await ask.site.store.load(ask.task)
    return ForkPreview(show_id(ask.task), at, could_happen_again(ask.task, entries, at))


async def adopt(ask: Ask) -> AdoptDocument:
    """Take an outside program as the task's, and give it its token."""
    body: AdoptBody = ask.body
    row = await _outside(ask)
    incarnation = await ask.orders.adopt(row.id, renew=body.renew)
    base = ask.base_url
    urls = Urls(openai=f"{base}/v1", anthropic=base, mcp=f"{base}/mcp")
    return AdoptDocument(show_id(row.id), incarnation, ask.serving.tokens.mint(row.id, incarnation), urls)


async def finish(ask: Ask) -> OrderDocument:
    """End the task of an outside program."""
    body: FinishBody = ask.body
    if body.error and body.result is not None:
        hint = "leave one of the two out"
        raise UsageError("result_and_error", "a task ends with a `result` or with an `error`", hint=hint)
    row = await _outside(ask)
    await ask.orders.finish(row.id, body.result, body.error, incarnation=body.incarnation)
    return await _sent(ask, "finish")


async def _place(ask: Ask, *, has_goal: bool) -> int:
    """Return where a fork begins that does not say it: at 1 for another goal, else at the last before the end."""
    await ask.orders.row(ask.task)
    if has_goal:
        return 1
    kept = [item.seq for item in await ask.site.store.load(ask.task) if not isinstance(item.read(), Ended | Moved)]
    return kept[-1]


async def _outside(ask: Ask) -> TaskRow:
    """Return the task's row.

    Raises:
        UsageError: there is none, or Comity itself runs its agent.
    """
    row = await ask.orders.row(ask.task)
    program = await ask.site.programs.find(row.agent)
    spec = program.agent(row.agent) if program is not None else None
    if spec is None or spec.kind != "outside":
        hint = "an outside agent is registered by `comity run -- …` or `PUT /api/v1/agents/NAME`"
        raise UsageError("not_outside", f"agent `{row.agent}` is no program of its own", hint=hint)
    return row


async def _sent(ask: Ask, order: str) -> OrderDocument:
    return OrderDocument(show_id(ask.task), order, bool(await nodes_up(ask.site.store)))
