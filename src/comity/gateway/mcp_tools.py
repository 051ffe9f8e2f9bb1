"""The tools of a program at one address: what is listed, and what a call of one comes to."""

from __future__ import annotations

import difflib
from functools import partial
from typing import TYPE_CHECKING, Any

from comity.core.codec import canonical, digest
from comity.core.errors import UsageError
from comity.gateway import deliberation, own_tools
from comity.gateway.mcp_errand import Errand
from comity.gateway.mcp_names import names_at, shown_names
from comity.gateway.mcp_result import Result, outcome_result, shown_output, unfit_result
from comity.gateway.mcp_schema import misfit, without_headers
from comity.gateway.mcp_wire import BAD_PARAMS, RpcError
from comity.gateway.own_tools_schemas import WORLDLY, OwnTool
from comity.gateway.own_tools_schemas import own_tools as own_tools_of
from comity.gateway.question import Question
from comity.gateway.refusal import Refusal
from comity.journal.call import Kind
from comity.journal.spec import AgentSpec, ToolSpec

if TYPE_CHECKING:
    from comity.gateway.visit import Visit


class ServedTools:
    """What an agent's programs are served: all of their tools and Comity's own, or those of one MCP server.

    Cost: making one looks at every tool, a call at one.
    """

    def __init__(
        self, agent: AgentSpec, tools: tuple[ToolSpec, ...], server: str, *, is_modern: bool, has_world: bool = False
    ) -> None:
        """Serve those of `tools` that `server` has, or all where it is empty.

        Where no world is in force (`has_world`) the tools about it are served and not listed: a program that had them
        before is told so by its call.

        Raises:
            Refusal: it has none of them.
        """
        self.tools = tools
        self._agent = agent
        self._is_modern = is_modern
        self._has_world = has_world
        self._own: dict[str, OwnTool] = {} if server else own_tools_of(agent)
        self._named = names_at(server, tools) if server else shown_names(tools, self._own)
        if server and not self._named:
            servers = sorted({spec.server for spec in tools if spec.server})
            near = difflib.get_close_matches(server, servers, 1)
            hint = f"did you mean `/mcp/{near[0]}`?" if near else f"there are: {', '.join(servers) or 'none'}"
            raise Refusal(404, "no_such_server", f"this task has no tools of a server `{server}`", hint)

    def listed(self) -> list[dict[str, Any]]:
        """Return the descriptors, by name, so that the list is the same each time."""
        shown = {name: self._descriptor(name, spec) for name, spec in self._named.items()}
        shown |= {
            tool.name: {"name": tool.name, "description": tool.description, "inputSchema": tool.schema}
            for tool in self._own.values()
            if self._has_world or tool.name not in WORLDLY
        }
        return [shown[name] for name in sorted(shown)]

    def call(self, visit: Visit, params: dict[str, Any]) -> Errand | Result:
        """Return what a `tools/call` by the program of `visit` comes to.

        Raises:
            RpcError: there is no such tool, or the arguments do not fit its schema.
        """
        name, args = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or not isinstance(args, dict | None):
            raise RpcError(BAD_PARAMS, "`name` must be a string, `arguments` an object", "see `tools/list`")
        args = args or {}
        try:
            if name in self._own:
                _check(self._own[name].schema, args, name)
                return own_tools.call(visit, self._named, name, args)
            if name in self._named:
                return self._errand(visit, name, args)
        except UsageError as error:
            return unfit_result(error.code, error.message, error.hint)
        known = sorted([*self._named, *self._own])
        near = difflib.get_close_matches(name, known, 3)
        hint = f"did you mean {' or '.join(f'`{item}`' for item in near)}?" if near else "`tools/list` lists them"
        raise RpcError(BAD_PARAMS, f"there is no tool `{name}`", hint, {"tool": name, "near": near})

    def _errand(self, visit: Visit, name: str, args: dict[str, Any]) -> Errand:
        spec = self._named[name]
        given, rest = deliberation.taken_out(self._agent, spec, args)
        _check(spec.schema, rest, name)
        data = canonical(rest, spec.name)
        decision = None
        if given is not None:
            thought = visit.proposed_by(spec.name, canonical(args, spec.name))
            decision = deliberation.explained(spec, data, given, thought)
        question = Question(Kind.TOOL, spec.name, data, digest(data), acts=spec.effect.acts)
        return Errand(question, partial(outcome_result, spec, is_modern=self._is_modern), decision)

    def _descriptor(self, name: str, spec: ToolSpec) -> dict[str, Any]:
        schema = {**without_headers(spec.schema), "type": "object"}
        shown = {
            "name": name,
            "title": spec.title,
            "description": spec.description,
            "inputSchema": deliberation.with_deliberation(self._agent, spec, schema),
            "outputSchema": shown_output(spec, is_modern=self._is_modern),
            "annotations": spec.annotations,
        }
        return {key: value for key, value in shown.items() if value or key == "inputSchema"}


def _check(schema: dict[str, Any], args: dict[str, Any], name: str) -> None:
    wrong = misfit(schema, args)
    if wrong:
        raise RpcError(BAD_PARAMS, f"tool `{name}`: {wrong}", "`tools/list` has the tool's schema", {"tool": name})
