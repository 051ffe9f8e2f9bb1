"""A call that a model proposes, as its program will ask it.

A deliberation is taken out of its arguments, and `comity_spawn` becomes the spawning of its agent: only so is a second
act that was proposed told from the repeat of the first.
"""

from __future__ import annotations

from typing import Any

from comity.core.codec import canonical, parse
from comity.core.errors import UsageError
from comity.gateway import deliberation
from comity.gateway.mcp_names import shown_names
from comity.gateway.mcp_schema import misfit
from comity.gateway.own_tools import spawning
from comity.gateway.own_tools_schemas import SPAWN, own_tools
from comity.gateway.tool_names import means
from comity.journal.spec import AgentSpec, ToolSpec


def as_asked(agent: AgentSpec, tools: tuple[ToolSpec, ...], name: str, args: bytes) -> tuple[str, bytes]:
    """Return name and arguments of a proposed call as they will be asked; those that fit nothing as they are."""
    own = own_tools(agent)
    is_spawn = SPAWN in own and means(name, SPAWN)
    field = next((deliberation.field_of(spec) for spec in tools if _is_explained(agent, spec, name)), "")
    if not is_spawn and not field:
        return name, args
    try:
        given = parse(args, name)
        if is_spawn and not misfit(own[SPAWN].schema, given):
            question = spawning(shown_names(tools, own), given)
            return question.name, question.args
        return name, canonical(_without(given, field), name)
    except UsageError:
        return name, args


def _is_explained(agent: AgentSpec, spec: ToolSpec, name: str) -> bool:
    return deliberation.asked_of(agent, spec) != "off" and means(name, spec.name)


def _without(given: Any, field: str) -> Any:
    return {key: value for key, value in given.items() if key != field} if isinstance(given, dict) else given
