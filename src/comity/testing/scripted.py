"""A model that computes its answer from the messages it receives: for tests, demonstrations and rehearsals.

Bind one to a name of an agent file and give it to an agent (`model=…`), or name it `scripted:FILE:NAME`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.journal.envelope import MARK


class Proposal(NamedTuple):
    """A tool call that a script proposes."""

    name: str
    args: dict[str, Any]


Said = str | Proposal | Sequence[Proposal] | Mapping[str, Any]
"""What a script answers: text, one or more tool calls (`call`), or a whole message in OpenAI's chat shape."""

Script = Callable[..., Said]
Rules = Mapping[str, Said]


def call(name: str, /, **args: Any) -> Proposal:
    """Propose to call the tool `name`."""
    return Proposal(name, args)


class ScriptedModel:
    """A model made of a function, of rules, or of a list of answers.

    A function is called as `script(messages, tools)` or `script(messages)` and must depend on nothing else. Rules map a
    text to the answer that is given where the last message that is not the model's own contains it; the first that fits
    counts, and the empty text fits always. A list is answered in order, by how many answers the conversation holds.
    """

    def __init__(self, script: Script | Rules | Sequence[Said]) -> None:
        """Answer by `script`."""
        self.__comity_scripted__ = True
        self._script = script
        self._takes_tools = callable(script) and len(inspect.signature(script).parameters) > 1

    def answer(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Return the assistant message that follows `messages`, both in OpenAI's chat shape.

        Raises:
            UsageError: no rule fits, the list is used up, or the script answered what is no message.
        """
        script = self._script
        if callable(script):
            said: Said = script(list(messages), list(tools)) if self._takes_tools else script(list(messages))
        elif isinstance(script, Mapping):
            said = _by_rule(script, messages)
        else:
            said = _by_turn(script, messages)
        return _message(said, messages)


def _by_rule(rules: Rules, messages: Sequence[Mapping[str, Any]]) -> Said:
    content = next((item.get("content") for item in reversed(messages) if _is_said_to_it(item)), "")
    text = content if isinstance(content, str) else canonical(content).decode()
    for fragment, said in rules.items():
        if fragment in text:
            return said
    raise UsageError(
        "no_rule", f"no rule of the scripted model fits `{text:.200}`", hint='add one; the rule "" fits always'
    )


def _is_said_to_it(message: Mapping[str, Any]) -> bool:
    """Tell whether a message is neither the model's own nor the envelope."""
    return message.get("role") != "assistant" and not str(message.get("content") or "").startswith(MARK)


def _by_turn(answers: Sequence[Said], messages: Sequence[Mapping[str, Any]]) -> Said:
    turn = sum(item.get("role") == "assistant" for item in messages)
    if turn >= len(answers):
        raise UsageError(
            "script_over",
            f"the scripted model has {len(answers)} answers and was asked once more",
            hint="add an answer",
        )
    said: Said = answers[turn]
    return said


def _message(said: Said, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if isinstance(said, str):
        return {"role": "assistant", "content": said}
    if isinstance(said, Mapping):
        return {"role": "assistant", **said}
    proposals = [said] if isinstance(said, Proposal) else list(said)
    if not proposals or not all(isinstance(item, Proposal) for item in proposals):
        raise UsageError("not_an_answer", f"the script answered `{said!r:.200}`", hint="text, `call(…)`, or a message")
    made = sum(len(item.get("tool_calls") or ()) for item in messages)
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{made + index}",
                "type": "function",
                "function": {"name": item.name, "arguments": canonical(item.args, item.name).decode()},
            }
            for index, item in enumerate(proposals, start=1)
        ],
    }
