"""Comity's own tools: what the SDK's `Context` gives to Python agents, for programs in any language.

Each becomes the same kernel call, with the same arguments, as the method of `Context` that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from comity.core.codec import canonical, decode, digest
from comity.core.errors import UsageError
from comity.core.ids import parse_id, show_id
from comity.gateway import deliberation
from comity.gateway.mcp_errand import Errand
from comity.gateway.mcp_result import Result, problem_result, text_result, value_result
from comity.gateway.own_tools_schemas import ASK_HUMAN, CLAIM, DECIDE, FINISH, OBSERVE, PROGRESS, RELEASE, SPAWN, WAIT
from comity.gateway.question import Question
from comity.journal.call import Delivered, Kind, Status
from comity.journal.spec import ToolSpec

if TYPE_CHECKING:
    from comity.gateway.visit import Visit

Args = Mapping[str, Any]
Served = Mapping[str, ToolSpec]


def call(visit: Visit, served: Served, name: str, args: dict[str, Any]) -> Errand | Result:
    """Return what a call of one of Comity's own tools comes to; `args` fit its schema.

    `served` are the other tools, by the names that the client sees.

    Raises:
        UsageError: they contradict each other, or name what is not there.
    """
    if name == SPAWN:
        return Errand(spawning(served, args), partial(_told, _child_of(args["agent"]), acts=True))
    return _CALLS[name](visit, args)


def _decide(visit: Visit, args: Args) -> Errand | Result:
    thought = visit.proposed_by(DECIDE, canonical(args))
    question = deliberation.decision(args, thought)
    return Errand(question, partial(_done, value={"recorded": True, "chosen": args["chosen"]}))


def _wait(_visit: Visit, args: Args) -> Errand | Result:
    ways = [way for way in ("seconds", "signal", "child") if way in args]
    if len(ways) != 1:
        raise UsageError("bad_wait", "what to wait for is not clear", hint="give one of `seconds`, `signal`, `child`")
    if ways[0] != "signal" and "timeout_s" in args:
        raise UsageError("bad_wait", "`timeout_s` goes with `signal` only", hint="leave it out")
    not_yet = _not_yet(WAIT, args, "What you wait for has not come yet.")
    if ways[0] == "seconds":
        question = _question(Kind.TIMER, "sleep", {"seconds": args["seconds"]})
        return Errand(question, partial(_done, value={"waited_s": args["seconds"]}), not_yet=not_yet)
    if ways[0] == "signal":
        question = _question(Kind.SIGNAL, args["signal"], {"timeout_s": args.get("timeout_s")})
        return Errand(question, partial(_told, lambda value: value), not_yet=not_yet)
    agent, _, task = args["child"].rpartition("/")
    if not agent:
        raise UsageError("bad_wait", f"`{args['child']}` names no child", hint=f"give the text that {SPAWN} gave you")
    question = _question(Kind.CHILD, agent, {"task": show_id(parse_id(task))})
    return Errand(question, partial(_told, lambda value: {"result": value}), not_yet=not_yet)


def spawning(served: Served, args: Args) -> Question:
    """Return the question that a call of `comity_spawn` asks; `args` fit its schema.

    Raises:
        UsageError: it hands on a tool that is not among `served`.
    """
    given = {
        "agent": args["agent"],
        "goal": args["goal"],
        "session": args.get("session", ""),
        "budget": _budget(args["budget"]) if "budget" in args else None,
        "tools": [_full_name(served, name) for name in args["tools"]] if "tools" in args else None,
    }
    return _question(Kind.SPAWN, args["agent"], given)


def _ask_human(_visit: Visit, args: Args) -> Errand | Result:
    given = {"question": args["question"], "options": args.get("options"), "timeout_s": args.get("timeout_s")}
    not_yet = _not_yet(ASK_HUMAN, args, "Nobody has answered yet.")
    return Errand(_question(Kind.HUMAN, "ask", given), partial(_told, lambda value: {"answer": value}), not_yet=not_yet)


def _progress(visit: Visit, args: Args) -> Errand | Result:
    visit.say(args["text"], args.get("fraction"))
    return value_result({"said": True})


def _finish(visit: Visit, args: Args) -> Errand | Result:
    if "error" in args:
        if "result" in args:
            raise UsageError("bad_finish", "`result` and `error` contradict each other", hint="give one of them")
        visit.finish(code="agent_error", error=args["error"])
    else:
        visit.finish(canonical(args.get("result"), "result"))
    return value_result({"finished": True})


def _claim(_visit: Visit, args: Args) -> Errand | Result:
    given = {
        "scope": args["scope"],
        "mode": args.get("mode", "exclusive"),
        "for_s": args["for_s"],
        "reason": args.get("reason", ""),
    }
    return Errand(_question(Kind.WORLD, "claim", given), partial(_told, lambda value: value))


def _release(_visit: Visit, args: Args) -> Errand | Result:
    return Errand(_question(Kind.WORLD, "release", {"claim": args["claim"]}), partial(_told, lambda value: value))


def _observe(_visit: Visit, args: Args) -> Errand | Result:
    given = {"field": args["field"], "value": args["value"]}
    return Errand(_question(Kind.WORLD, "observe", given), partial(_told, lambda value: value))


_CALLS: dict[str, Callable[[Visit, dict[str, Any]], Errand | Result]] = {
    DECIDE: _decide,
    WAIT: _wait,
    PROGRESS: _progress,
    ASK_HUMAN: _ask_human,
    FINISH: _finish,
    CLAIM: _claim,
    RELEASE: _release,
    OBSERVE: _observe,
}


def _child_of(agent: str) -> Callable[[Any], Any]:
    def told(value: Any) -> Any:
        child = f"{agent}/{value['task']}"
        return {"child": child, "next": f'{WAIT} with {{"child": "{child}"}} gives its result'}

    return told


def _budget(given: Args) -> dict[str, Any]:
    """Return a budget as the kernel keeps it: money in millionths of a dollar, counts as integers (7.0 is one)."""
    budget = {name: value for name, value in given.items() if name != "usd"}
    if "tokens" in budget:
        budget["tokens"] = int(budget["tokens"])
    if "calls" in budget:
        budget["calls"] = {name: int(limit) for name, limit in budget["calls"].items()}
    return {**budget, "usd_micro": round(given["usd"] * 1_000_000)} if "usd" in given else budget


def _full_name(served: Served, name: str) -> str:
    if name not in served:
        raise UsageError("no_such_tool", f"you have no tool `{name}` to hand on", hint="name tools as they are listed")
    return served[name].name


def _question(kind: Kind, name: str, args: Args) -> Question:
    data = canonical(args, kind)
    return Question(kind, name, data, digest(data))


def _done(delivered: Delivered, value: Any) -> Result:
    return _told(lambda _: value, delivered)


def _told(read: Callable[[Any], Any], delivered: Delivered, *, acts: bool = False) -> Result:
    if delivered.status is not Status.DONE:
        return problem_result(delivered, acts=acts)
    return value_result(read(decode(delivered.value)))


def _not_yet(tool: str, args: Args, text: str) -> Result:
    facts = {"status": "pending", "call_again": {"tool": tool, "arguments": dict(args)}}
    again = f"{text} Call {tool} again with the same arguments to go on waiting; nothing is asked twice."
    return text_result(again, structuredContent=facts)
