"""The declarative agent: a model, instructions and tools, and the loop that runs them.

The loop thinks, calls what the model proposes, gives it the results (refusals and failures too, with what would make
them admissible) and ends with the first answer that proposes nothing. It is an agent like any other: what it asks is
journaled and recalled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from comity.agents.context import Context, ToolRef
from comity.agents.conversation import Conversation, Message, ToolCall, as_text
from comity.agents.tool import AgentOptions, Deployment, agent_marks
from comity.core.codec import parse
from comity.core.errors import CallFailed, ComityError, UsageError
from comity.journal.program import AGENT
from comity.journal.spec import AgentSpec


class Agent:
    """A declarative agent: bind one to a name of an agent file.

    Its result is the text of the model's last answer; the session gets the goal, what was said, and the answer.
    """

    def __init__(
        self,
        name: str,
        instructions: str = "",
        model: Any = "",
        tools: Sequence[ToolRef] = (),
        *,
        turns_max: int = 0,
        description: str = "",
        params: dict[str, Any] | None = None,
        **options: Unpack[Deployment],
    ) -> None:
        """Declare an agent.

        Args:
            name: Its name.
            instructions: The system message.
            model: The model's name, or a scripted model of the same file.
            tools: The tools that the model may propose to call.
            turns_max: After how many answers with tool calls the task fails; 0 is no limit.
            description: A sentence for those who choose among agents.
            params: Options of each model call, in the words of OpenAI's chat format.
            **options: As for `agent`.

        Raises:
            UsageError: what is declared cannot be.
        """
        declared: AgentOptions = {**options, "name": name, "model": model, "tools": tools}
        spec = AgentSpec(name, "harness", description=description, instructions=instructions, turns_max=turns_max)
        for mark, value in agent_marks(spec, declared).items():
            setattr(self, mark, value)
        self.instructions = instructions
        self.turns_max = turns_max
        self.params = dict(params or {})

    async def __call__(self, context: Context) -> str:
        """Run the loop for the task of `context`.

        Raises:
            CallFailed: `turns_max` was reached.
        """
        spec: AgentSpec = getattr(self, AGENT)
        conversation = Conversation()
        if self.instructions:
            conversation.system(self.instructions)
        for data in context.session.found:
            conversation.append_encoded(data)
        begin = len(conversation)
        conversation.user(as_text(context.goal))
        answer = await self._think(context, conversation, spec.tools)
        turns = 0
        while answer.tool_calls:
            turns += 1
            if self.turns_max and turns > self.turns_max:
                raise CallFailed(
                    "turns_max", f"no answer after {self.turns_max} turns with tool calls", hint="raise `turns_max`"
                )
            results = await _perform(context, answer.tool_calls, spec.tools)
            for call, result in zip(answer.tool_calls, results, strict=True):
                conversation.tool(call.id, result)
            answer = await self._think(context, conversation, spec.tools)
        for item in conversation.segments[begin:]:
            context.session.append_encoded(item.data)
        return answer.text

    async def _think(self, context: Context, conversation: Conversation, tools: Sequence[str]) -> Message:
        answer = await context.think(conversation, tools=tools, **self.params)
        conversation.append(answer)
        return answer


async def _perform(context: Context, calls: Sequence[ToolCall], tools: Sequence[str]) -> list[Any]:
    """Perform the calls of one answer at once and return their results in its order."""
    if len(calls) == 1:
        return [await _call(context, calls[0], tools)]
    return await context.gather(*(_call(context, call, tools) for call in calls))


async def _call(context: Context, call: ToolCall, tools: Sequence[str]) -> Any:
    """Return a tool's result, or what to tell the model where there is none."""
    try:
        if call.name not in tools:
            known = ", ".join(f"`{name}`" for name in tools) or "none"
            raise UsageError(
                "unknown_tool", f"there is no tool `{call.name}`", hint=f"there are: {known}", retry="rethink"
            )
        args = parse(call.arguments, "arguments")
        if not isinstance(args, dict):
            raise UsageError(
                "not_an_object", "the arguments are no JSON object", hint="give them by name", retry="rethink"
            )
        return await context.act(call.name, **args)
    except ComityError as error:
        return {"error": {"code": error.code, "message": error.message, "hint": error.hint, "retry": error.retry}}
