"""The decorators `tool` and `agent`: they leave a specification on a function, and return the function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack, get_type_hints, overload

import msgspec

from comity.agents.touching import check_touches
from comity.core.errors import UsageError
from comity.journal.call import CallContext
from comity.journal.program import AGENT, ARGS, INJECT, MODEL, SCRIPTED, TOOL, USES, WHOLE_FILE, Role, check_fit
from comity.journal.spec import AgentSpec, Divergence, Effect, ToolSpec
from comity.journal.world import Premise, Touch

F = TypeVar("F", bound=Callable[..., Any])

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AGENT_NAME = re.compile(r"[\w.-]{1,200}")
_WINDOW = re.compile(r"[1-9]\d{0,8}[smhdw]")
_ROLES: tuple[Role, ...] = ("reconcile", "compensate", "verify")
_NEEDS: dict[Effect, Role] = {Effect.RECONCILABLE: "reconcile", Effect.REVERSIBLE: "compensate"}


class ToolOptions(TypedDict, total=False):
    """What may be declared of a tool; the meaning stands at `tool`."""

    effect: Effect | str
    once: Sequence[str] | str
    once_per: str
    reconcile: Callable[..., Any] | str
    compensate: Callable[..., Any] | str
    verify: Callable[..., Any] | str
    visible_within_s: float
    key_window_s: float
    name: str
    touches: Sequence[Touch]
    premises: Sequence[Premise]


class Deployment(TypedDict, total=False):
    """What may be declared of any agent; the meaning stands at `agent`."""

    version: str
    agents: Sequence[Callable[..., Any] | str]
    on_divergence: Divergence
    queue: str
    concurrency_limit: int


class AgentOptions(Deployment, total=False):
    """What may be declared of an agent that is a function; the meaning stands at `agent`."""

    name: str
    model: Any
    tools: Sequence[Callable[..., Any] | str]


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[F], F]: ...
def tool(function: Any = None, /, **options: Unpack[ToolOptions]) -> Any:
    """Declare a function a tool: what hands run, with the arguments that its annotations describe.

    A parameter annotated `CallContext` is told of the call (its idempotency key, its attempt); agents do not see it.

    Args:
        function: The function, coroutine or not.
        **options:
            effect: What a call does to the world; `irreversible` where nothing is declared.
            once: Argument paths (`order.id`) that make two calls the same act.
            once_per: Within what they do: `task` (the default), `session`, `tenant`, or a window such as `24h`.
            reconcile: The tool that tells whether a call happened; it takes the same arguments and returns
                `Happened(result)`, `DidNotHappen(reason)` or `Unknown(reason)`.
            compensate: The tool that undoes a call: `def undo(args: dict[str, Any], result: Any)`.
            verify: The tool that judges a result, with `args` and `result`; returns a bool or `{"passed", "reason"}`.
            visible_within_s: After how many seconds `reconcile` sees what happened.
            key_window_s: For how many seconds the provider knows an idempotency key; 0 is for ever.
            name: The tool's name; the function's by default.
            touches: What a call changes of the shared world: `Touch("db/{db}.instances", "add", "-1")`.
            premises: What must hold of it at the moment of acting: `Premise("case/{id}.state", "value != 'open'")`.

    Raises:
        UsageError: what is declared does not fit together.
    """
    _known(options, ToolOptions, "tool")

    def declare(function: F) -> F:
        name = options.get("name") or function.__name__
        arguments, inject = _arguments(function, name)
        spec = ToolSpec(
            name=name,
            effect=_effect(options.get("effect", Effect.IRREVERSIBLE), name),
            description=inspect.getdoc(function) or "",
            schema=_schema(arguments, name),
            once=_texts(options.get("once", ())),
            once_per=options.get("once_per", "task"),
            reconcile=_name(options.get("reconcile", ""), TOOL),
            compensate=_name(options.get("compensate", ""), TOOL),
            verify=_name(options.get("verify", ""), TOOL),
            visible_within_s=float(options.get("visible_within_s", 0)),
            key_window_s=float(options.get("key_window_s", 0)),
            touches=tuple(options.get("touches", ())),
            premises=tuple(options.get("premises", ())),
        )
        check_touches(spec)
        others = {role: options[role] for role in _ROLES if callable(options.get(role))}
        _check(spec, others)
        if "once_per" in options and not spec.once:
            raise UsageError(
                "once_without_paths", f"tool `{name}` has `once_per` without `once`", hint='add `once=["order.id"]`'
            )
        _leave(function, {TOOL: spec, ARGS: arguments, INJECT: inject, USES: tuple(others.values())})
        return function

    return declare if function is None else declare(function)


@overload
def agent(function: F, /) -> F: ...
@overload
def agent(**options: Unpack[AgentOptions]) -> Callable[[F], F]: ...
def agent(function: Any = None, /, **options: Unpack[AgentOptions]) -> Any:
    """Declare a coroutine function an agent: it takes a `Context`, and what it returns is its task's result.

    Args:
        function: The coroutine function.
        **options:
            name: The agent's name; the function's by default.
            version: A label; the digest of the file where none is given.
            model: The model that `think` asks by default: a name, or a scripted model of the same file.
            tools: The tools that it may use; all of its file where none are declared.
            agents: The agents that it may spawn; all of its file where none are declared.
            on_divergence: What becomes of a task whose agent, resumed, asks something else: `park` (the default),
                `fork`, `rethink`.
            queue: The queue of its tasks.
            concurrency_limit: How many of its tasks run at once; 0 is no limit.

    Raises:
        UsageError: what is declared cannot be.
    """

    def declare(function: F) -> F:
        name = options.get("name") or function.__name__
        if not inspect.iscoroutinefunction(function):
            raise UsageError(
                "not_a_coroutine", f"agent `{name}` is no coroutine function", hint=f"write `async def {name}`"
            )
        whole = tuple(what for what in ("tools", "agents") if what not in options)
        _leave(
            function,
            agent_marks(AgentSpec(name, description=inspect.getdoc(function) or ""), options) | {WHOLE_FILE: whole},
        )
        return function

    return declare if function is None else declare(function)


def agent_marks(spec: AgentSpec, options: AgentOptions) -> dict[str, Any]:
    """Return what to leave on an agent: `spec` with `options` in it, and what it was declared with."""
    _known(options, AgentOptions, "agent")
    if not _AGENT_NAME.fullmatch(spec.name):
        raise UsageError(
            "bad_name", f"`{spec.name}` cannot be an agent's name", hint="use letters, digits, `_`, `-`, `.`"
        )
    divergence = options.get("on_divergence", "park")
    if divergence not in ("park", "fork", "rethink"):
        raise UsageError(
            "bad_option", f"agent `{spec.name}`: `on_divergence={divergence}`", hint="park, fork or rethink"
        )
    model = options.get("model", "")
    is_scripted = getattr(model, SCRIPTED, False) is True
    if not is_scripted and not isinstance(model, str):
        raise UsageError(
            "bad_model", f"agent `{spec.name}`: `{model!r:.60}` is no model", hint="give a name or a ScriptedModel"
        )
    tools, agents = tuple(options.get("tools", ())), tuple(options.get("agents", ()))
    spec = msgspec.structs.replace(
        spec,
        version=options.get("version", ""),
        model="" if is_scripted else model,
        tools=tuple(_name(item, TOOL) for item in tools),
        agents=tuple(_name(item, AGENT) for item in agents),
        on_divergence=divergence,
        queue=options.get("queue", "default"),
        concurrency_limit=options.get("concurrency_limit", 0),
    )
    uses = tuple(item for item in (*tools, *agents) if not isinstance(item, str))
    return {AGENT: spec, USES: uses, MODEL: model if is_scripted else None}


def _leave(function: Any, marks: Mapping[str, Any]) -> None:
    for name, value in marks.items():
        setattr(function, name, value)


def _known(options: Mapping[str, Any], declared: Any, what: str) -> None:
    unknown = sorted(set(options) - _options(declared))
    if unknown:
        raise UsageError(
            "unknown_option",
            f"`{what}` knows no option `{unknown[0]}`",
            hint=f"it knows {', '.join(sorted(_options(declared)))}",
        )


def _options(declared: Any) -> set[str]:
    return set(declared.__optional_keys__)


def _name(thing: Callable[..., Any] | str, mark: str) -> str:
    if isinstance(thing, str):
        return thing
    spec = getattr(thing, mark, None)
    if spec is None:
        what = "tool" if mark == TOOL else "agent"
        raise UsageError("not_declared", f"`{thing!r:.60}` is no {what}", hint=f"decorate it with `@{what}`, above")
    name: str = spec.name
    return name


def _texts(value: Sequence[str] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _effect(value: Effect | str, name: str) -> Effect:
    try:
        return Effect(value)
    except ValueError:
        raise UsageError(
            "bad_effect", f"tool `{name}`: `{value}` is no effect class", hint=f"use one of {', '.join(Effect)}"
        ) from None


def _arguments(function: Callable[..., Any], name: str) -> tuple[type[msgspec.Struct], str]:
    """Return the struct of a tool's arguments, and the parameter that gets the call context."""
    if not _TOOL_NAME.fullmatch(name):
        raise UsageError(
            "bad_name", f"`{name}` cannot be a tool's name", hint="use at most 64 letters, digits, `_`, `-`"
        )
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UsageError(
            "unknown_type",
            f"tool `{name}`: {error}",
            hint="define the types of its parameters at module level, above it",
        ) from None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    inject = ""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UsageError(
                "bad_parameter",
                f"tool `{name}`: `{parameter}` cannot be named by an agent",
                hint="use named parameters only",
            )
        kind = hints.get(parameter.name, Any)
        kind = Any if kind is object else kind
        if kind is CallContext:
            inject = parameter.name
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, kind))
        else:
            fields.append((parameter.name, kind, _default(parameter.default)))
    return msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True), inject


def _default(value: Any) -> Any:
    if isinstance(value, str | int | float | bool | None):
        return value
    return msgspec.field(default_factory=lambda: value)


def _schema(arguments: type[msgspec.Struct], name: str) -> dict[str, Any]:
    try:
        _, parts = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    except TypeError as error:
        raise UsageError(
            "unknown_type",
            f"tool `{name}`: {str(error).splitlines()[-1].lower()}",
            hint="annotate its parameters with types that JSON can hold",
        ) from None
    schema = parts.pop(arguments.__name__)
    schema.pop("title", None)
    return {**schema, "$defs": parts} if parts else schema


def _check(spec: ToolSpec, others: Mapping[Role, Any]) -> None:
    needed = _NEEDS.get(spec.effect)
    if needed is not None and not getattr(spec, needed):
        raise UsageError(
            f"no_{needed}",
            f"tool `{spec.name}` is {spec.effect} and has no `{needed}` tool",
            hint=f"add `{needed}=…`, or declare another effect class",
        )
    for role, other in others.items():
        check_fit(spec.name, role, getattr(other, TOOL))
    if spec.once_per not in ("task", "session", "tenant") and not _WINDOW.fullmatch(spec.once_per):
        raise UsageError(
            "bad_window",
            f"tool `{spec.name}`: `once_per={spec.once_per}`",
            hint="use task, session, tenant, or a window such as `24h`",
        )
    for path in spec.once:
        _check_path(spec, path)


def _check_path(spec: ToolSpec, path: str) -> None:
    node: dict[str, Any] = spec.schema
    for part in path.split("."):
        if "$ref" in node:
            node = spec.schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        if "properties" not in node and node is not spec.schema:
            return
        known = node.get("properties", {})
        if part not in known:
            raise UsageError(
                "no_such_argument",
                f"tool `{spec.name}`: `once` names `{path}`, and there is no `{part}`",
                hint=f"there are: {', '.join(f'`{name}`' for name in known) or 'none'}",
            )
        node = known[part]
