"""What models are told of Comity's own tools: names, descriptions, schemas."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

from comity.core.limits import NAME_CHARS_MAX, TOKENS_MAX
from comity.gateway import deliberation
from comity.journal.spec import AgentSpec
from comity.journal.world import ClaimMode

DECIDE = "comity_decide"
WAIT = "comity_wait"
SPAWN = "comity_spawn"
PROGRESS = "comity_progress"
ASK_HUMAN = "comity_ask_human"
FINISH = "comity_finish"
CLAIM = "comity_claim"
RELEASE = "comity_release"
OBSERVE = "comity_observe"
WORLDLY = (CLAIM, RELEASE, OBSERVE)
"""Those that are listed only where a world is in force."""

SECONDS_MAX = 10**12
USD_MAX = 10**9


class OwnTool(NamedTuple):
    """One of Comity's own tools, as clients are shown it."""

    name: str
    description: str
    schema: dict[str, Any]


def own_tools(agent: AgentSpec) -> dict[str, OwnTool]:
    """Return the tools that every program of `agent` is offered, by name; none spawns where it may spawn nobody."""
    spawning = [_spawn(agent.agents)] if agent.agents else []
    return {tool.name: tool for tool in sorted([*_TOOLS, *spawning])}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _seconds(description: str) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": SECONDS_MAX, "description": description}


_TEXTS = {"type": "array", "items": {"type": "string"}}
_OPTION = {
    "anyOf": [
        {"type": "string"},
        _object(
            ["id"],
            id=_text("A short name."),
            action=_text("What would be done."),
            cost=_text("What it would cost."),
            effect=_text("What it would change."),
        ),
    ]
}
_FACTOR = {
    "anyOf": [
        {"type": "string"},
        _object(
            ["name"],
            name=_text("The fact."),
            value={"description": "Its value."},
            source=_text("Where you have it from."),
            weight={"type": "number", "description": "How much it counts."},
            direction={"type": "string", "enum": ["for", "against", "neutral"], "description": "Which way it points."},
            observed_at=_text("When it was observed, as RFC 3339."),
        ),
    ]
}
_ARGUMENT = _object(
    ["factor", "option", "pro"],
    factor=_text("The name of the factor."),
    option=_text("The id of the option."),
    pro={"type": "boolean", "description": "Whether it speaks for the option."},
    why=_text("Why it does."),
)

_TOOLS = (
    OwnTool(
        DECIDE,
        "Record a decision before you act on it: what could be done, what you chose, and why. It is kept in the "
        "task's journal, where people and other agents can see what it rested on. It changes nothing else.",
        _object(
            deliberation.REQUIRED,
            **{
                **deliberation.PROPERTIES,
                "options": {
                    "type": "array",
                    "minItems": 1,
                    "items": _OPTION,
                    "description": "What could be done: a text each, or more about it.",
                },
                "chosen": _text("The option that you chose: its text, or its id."),
                "factors": {"type": "array", "items": _FACTOR, "description": "The facts that you weighed."},
            },
            arguments={"type": "array", "items": _ARGUMENT, "description": "Which fact speaks for or against what."},
            authority={**_TEXTS, "description": "On whose behalf, or by which rule, you may decide this."},
            ttl_s=_seconds("After so many seconds the decision is stale."),
            revalidate_if={**_TEXTS, "description": "What would make you decide anew."},
            supersedes=_text("The earlier decision that this one replaces."),
        ),
    ),
    OwnTool(
        WAIT,
        "Wait for time to pass, for a signal, or for an agent that you started. You may wait for days: while there is "
        "nothing yet you are told `pending`; call it again with exactly the same arguments, and you go on waiting for "
        "the same thing. Give one of `seconds`, `signal`, `child`.",
        _object(
            [],
            seconds=_seconds("Wait so long."),
            signal={
                **_text("Wait for a signal of this name; you get its value."),
                "minLength": 1,
                "maxLength": NAME_CHARS_MAX,
            },
            timeout_s=_seconds("With `signal`: give up after so long."),
            child={
                **_text("Wait for this agent's result; `comity_spawn` gave you the text."),
                "pattern": "^.+/[0-9a-f-]{36}$",
                "maxLength": NAME_CHARS_MAX + 37,
            },
        ),
    ),
    OwnTool(
        PROGRESS,
        "Tell the people who watch how far you are. It is shown at once and changes nothing.",
        _object(
            ["text"],
            text=_text("What you have just done, or do now, in a sentence."),
            fraction={"type": "number", "minimum": 0, "maximum": 1, "description": "How much is done, from 0 to 1."},
        ),
    ),
    OwnTool(
        ASK_HUMAN,
        "Ask a person, and get the answer. People may take long: while there is none you are told `pending`; call it "
        "again with exactly the same arguments, and you go on waiting for the same answer.",
        _object(
            ["question"],
            question={**_text("The question, with all that one must know to answer it."), "minLength": 1},
            options={
                **_TEXTS,
                "minItems": 1,
                "description": "The answers to choose from; leave out for a free answer.",
            },
            timeout_s=_seconds("Give up after so long, which is neither yes nor no."),
        ),
    ),
    OwnTool(
        CLAIM,
        "Tell the other agents that you are about to change a part of the shared world, or that it must stay as it is. "
        "Until your claim ends, what others do against it waits or is refused. Claim as little as you need, for as "
        "short as you need it, and give it back with comity_release. It ends by itself after `for_s` seconds, and with "
        "your task. You get the claim's id.",
        _object(
            ["scope", "for_s"],
            scope={
                **_text(
                    "What you claim: one field (`db/main.instances`), a resource (`db/main`), or a pattern of fields "
                    "(`service/*.instances`)."
                ),
                "minLength": 1,
                "maxLength": 300,
            },
            for_s={**_seconds("For so many seconds."), "exclusiveMinimum": 0},
            mode={
                "type": "string",
                "enum": list(get_args(ClaimMode)),
                "description": "What others may do meanwhile. `exclusive` (the default) and `hands-off`: nothing; "
                "`shared`: act if they claim it as shared too; `up-only`, `down-only`: move numbers that way; "
                "`leave-as-is`: not correct what is there, it is meant.",
            },
            reason=_text("Why, in a sentence for people; other agents never see it."),
        ),
    ),
    OwnTool(
        RELEASE,
        "End a claim that you made with comity_claim, so that others can go on. One that is over is no error.",
        _object(["claim"], claim={**_text("The id that comity_claim gave you."), "minLength": 1, "maxLength": 200}),
    ),
    OwnTool(
        OBSERVE,
        "Tell what a field of the shared world is right now, as you have just seen it. You are told what became of it: "
        "`observed` (it is what everybody goes by now), `proposed` (you are not the one who is believed on this field; "
        "it is kept beside), or `older` (something newer was known).",
        _object(
            ["field", "value"],
            field={**_text("The field: `db/main.connections`."), "minLength": 1, "maxLength": 300},
            value={
                "description": "Its value: a number, true or false, a text, or a list of these where it is a set.",
                "anyOf": [
                    {"type": ["number", "boolean", "string"]},
                    {"type": "array", "items": {"type": ["number", "boolean", "string"]}},
                ],
            },
        ),
    ),
    OwnTool(
        FINISH,
        "End your task: it has succeeded with `result`, or failed with `error`. Call it last; nothing can be done "
        "afterwards.",
        _object(
            [],
            result={"description": "What the task came to, any JSON."},
            error=_text("Why the task cannot be done."),
        ),
    ),
)


def _spawn(agents: tuple[str, ...]) -> OwnTool:
    limit = {"type": "integer", "minimum": 0, "maximum": TOKENS_MAX}
    return OwnTool(
        SPAWN,
        "Start another agent on a goal. It may do at most what you may, and its budget is carved out of yours. You "
        "get a text that names it; `comity_wait` with that text as `child` gives its result.",
        _object(
            ["agent", "goal"],
            agent={"type": "string", "enum": list(agents), "description": "Which agent."},
            goal={"description": "What it is to do: a text, or any JSON that it understands."},
            session=_text("The session that it continues; a new one by default."),
            tools={**_TEXTS, "description": "The only tools that it may use, by the names that you see."},
            budget={
                **_object(
                    [],
                    tokens=limit,
                    usd={**_seconds("US dollars."), "maximum": USD_MAX},
                    wall_s=_seconds("Seconds."),
                    calls={"type": "object", "additionalProperties": limit, "description": "Calls by effect class."},
                ),
                "description": "What it may spend.",
            },
        ),
    )
