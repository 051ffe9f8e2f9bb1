"""Agent files: load one as a module, find what it offers, bind a tool's arguments.

What decorators leave on functions stands under the names below; hands, brains and kernel read it without importing
`agents`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import msgspec

from comity.core.codec import parse
from comity.core.errors import ComityError, UsageError
from comity.journal.call import CallContext
from comity.journal.spec import AgentSpec, Effect, Program, ToolSpec

AGENT: Final = "__comity_agent__"
"""On an agent: its `AgentSpec`."""
TOOL: Final = "__comity_tool__"
"""On a tool: its `ToolSpec`."""
ARGS: Final = "__comity_args__"
"""On a tool: the struct type of its arguments."""
INJECT: Final = "__comity_inject__"
"""On a tool: the name of the parameter that gets the `CallContext`, or an empty string."""
USES: Final = "__comity_uses__"
"""On an agent or tool: the agents and tools that it was declared with, as objects."""
WHOLE_FILE: Final = "__comity_whole_file__"
"""On an agent: which of `tools` and `agents` were not declared, and so are all that its file offers."""
MODEL: Final = "__comity_model__"
"""On an agent: the scripted model that it was declared with, or None."""
SCRIPTED: Final = "__comity_scripted__"
"""On a scripted model: True. It answers by `answer(messages, tools) -> message`."""

Role = Literal["reconcile", "compensate", "verify"]

_FIT: dict[Role, tuple[frozenset[Effect], str]] = {
    "reconcile": (frozenset({Effect.PURE, Effect.READ}), 'only looks, so declare it `@tool(effect="read")`'),
    "verify": (frozenset({Effect.PURE, Effect.READ}), 'only looks, so declare it `@tool(effect="read")`'),
    "compensate": (
        frozenset({Effect.IDEMPOTENT, Effect.RECONCILABLE}),
        "may be repeated after a crash, so make it idempotent, or reconcilable with a `reconcile` tool of its own",
    ),
}


@dataclass(frozen=True)
class Loaded:
    """An agent file in memory: what it declares, and the objects to run. Models stand under their variable's name."""

    program: Program
    agents: dict[str, Callable[..., Any]] = field(default_factory=dict)
    tools: dict[str, Callable[..., Any]] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)


def load(path: str | os.PathLike[str]) -> Loaded:
    """Import an agent file under a name of its own, and return what it offers. The same content is imported once.

    Raises:
        UsageError: the file is missing, cannot be imported, offers neither agent nor tool, or declares what cannot be;
            the message names file and line.
    """
    file = Path(path).resolve()
    try:
        source = file.read_bytes()
    except OSError as error:
        raise UsageError(
            "no_agent_file",
            f"`{path}` cannot be read ({error.strerror or error})",
            hint="give the path of a Python file",
        ) from None
    digest = hashlib.sha256(source).hexdigest()
    found = collect(vars(_module(file, digest)), str(file), digest)
    if not found.agents and not found.tools:
        raise UsageError(
            "nothing_offered",
            f"`{file}` offers no agent and no tool",
            hint="decorate a coroutine function with `@agent`, or bind an `Agent(…)` to a name",
        )
    return found


def offered_by(*things: Callable[..., Any]) -> Loaded:
    """Return what these agents and tools offer, with what they were declared with and what their modules hold.

    For agents that run where they were defined, such as in a script or a notebook.
    """
    namespace: dict[str, object] = {}
    for thing in things:
        namespace.update(getattr(thing, "__globals__", {}))
    namespace.update({f"<{index}>": thing for index, thing in enumerate(things)})
    file = str(namespace.get("__file__") or "<memory>")
    path = Path(file)
    content = path.read_bytes() if path.is_file() else repr(sorted(str(thing) for thing in namespace)).encode()
    return collect(namespace, file, hashlib.sha256(content).hexdigest())


def collect(namespace: Mapping[str, object], file: str, digest: str) -> Loaded:
    """Return the agents, tools and scripted models that a module's names stand for, and what those were declared with.

    Raises:
        UsageError: two of one name, or one that names another that is not there or does not fit.
    """
    found = Loaded(Program(file, digest, (), ()))
    scripted: dict[int, str] = {}
    for name, value in namespace.items():
        if _mark(value, SCRIPTED) is True:
            found.models[name] = value
            scripted[id(value)] = name
    for value in _reachable(namespace.values()):
        tool, agent = _mark(value, TOOL), _mark(value, AGENT)
        if isinstance(tool, ToolSpec):
            _add(found.tools, "tool", tool.name, value, file)
        elif isinstance(agent, AgentSpec):
            _add(found.agents, "agent", agent.name, value, file)
    tools = {name: getattr(value, TOOL) for name, value in found.tools.items()}
    for spec in tools.values():
        _check_tool(spec, tools, file)
    for name, value in found.agents.items():
        setattr(value, AGENT, _completed(value, getattr(value, AGENT), found, scripted))
        _check_agent(getattr(found.agents[name], AGENT), found, file)
    agents = tuple(getattr(value, AGENT) for value in found.agents.values())
    program = Program(file, digest, agents, tuple(tools.values()))
    return Loaded(program, found.agents, found.tools, found.models)


def bind(tool: Callable[..., Any], args: bytes, context: CallContext) -> dict[str, Any]:
    """Return the keyword arguments to call `tool` with: `args` (JSON) read strictly as the types that it declares.

    Raises:
        UsageError: not JSON, a missing or unknown argument, or one of another type; nothing was called.
    """
    spec: ToolSpec = getattr(tool, TOOL)
    given = parse(args, spec.name)
    try:
        read = msgspec.convert(given, getattr(tool, ARGS))
    except msgspec.ValidationError as error:
        raise UsageError(
            "bad_arguments", f"tool `{spec.name}`: {str(error).lower()}", hint="the tool's schema says what it takes"
        ) from None
    bound = {name: getattr(read, name) for name in given}
    inject = getattr(tool, INJECT)
    if inject:
        bound[inject] = context
    return bound


def check_fit(tool: str, role: Role, other: ToolSpec, file: str = "") -> None:
    """Check that `other` may serve `tool` (of `file`) in that role.

    Raises:
        UsageError: its effect class does not fit; the message names both and the way out.
    """
    fitting, way_out = _FIT[role]
    if other.effect not in fitting:
        raise UsageError(
            "unfit_tool",
            f"{file and f'{file}: '}tool `{tool}` has `{role}={other.name}`, and `{other.name}` is {other.effect}",
            hint=f"`{other.name}` {way_out}",
        )


def _module(file: Path, digest: str) -> ModuleType:
    identity = hashlib.sha256(f"{file}\0{digest}".encode()).hexdigest()[:12]
    name = f"comity_agent_file_{file.stem}_{identity}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError("no_agent_file", f"`{file}` is no Python file", hint="its name must end in `.py`")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise
        raise _not_loaded(file, error) from error
    return module


def _not_loaded(file: Path, error: BaseException) -> UsageError:
    if isinstance(error, SyntaxError):
        place = f"{error.filename or file}:{error.lineno or 1}"
        return UsageError("bad_agent_file", f"{place}: {error.msg}", hint="correct the syntax")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    place = f"{file}:{lines[-1] if lines else 1}"
    if isinstance(error, ComityError):
        return UsageError(error.code, f"{place}: {error.message}", hint=error.hint)
    hint = 'the file is imported, not run: put what acts under `if __name__ == "__main__":`'
    if isinstance(error, ImportError):
        hint = "install what it imports in the environment that runs Comity, or put the module beside the file"
    return UsageError("bad_agent_file", f"{place}: {type(error).__name__}: {error}", hint=hint)


def _mark(value: object, name: str) -> object:
    """Return what a decorator left on an object; classes and objects that invent attributes have none."""
    return None if isinstance(value, type | ModuleType) else getattr(value, "__dict__", {}).get(name)


def _reachable(values: Iterable[object]) -> Iterator[Any]:
    seen: set[int] = set()
    waiting = list(values)[::-1]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or (_mark(value, TOOL) is None and _mark(value, AGENT) is None):
            continue
        seen.add(id(value))
        yield value
        uses = _mark(value, USES)
        waiting.extend(uses[::-1] if isinstance(uses, tuple) else ())


def _add(table: dict[str, Callable[..., Any]], what: str, name: str, value: Any, file: str) -> None:
    if table.setdefault(name, value) is not value:
        raise UsageError(
            "two_of_one_name",
            f"`{file}` offers two {what}s named `{name}`",
            hint=f'give one another name: `@{what}(name="…")`',
        )


def _check_tool(spec: ToolSpec, tools: Mapping[str, ToolSpec], file: str) -> None:
    roles: tuple[tuple[Role, str], ...] = (
        ("reconcile", spec.reconcile),
        ("compensate", spec.compensate),
        ("verify", spec.verify),
    )
    for role, name in roles:
        if name and name not in tools:
            raise _missing(file, f"tool `{spec.name}` has `{role}={name}`", "tool", name)
        if name:
            check_fit(spec.name, role, tools[name], file)


def _check_agent(spec: AgentSpec, found: Loaded, file: str) -> None:
    for name in spec.tools:
        if name not in found.tools:
            raise _missing(file, f"agent `{spec.name}` uses it", "tool", name)


def _missing(file: str, who: str, what: str, name: str) -> UsageError:
    return UsageError(
        f"no_such_{what}",
        f"`{file}` offers no {what} `{name}`: {who}",
        hint=f"define it there, decorated with `@{what}`, or import it",
    )


def _completed(value: Any, spec: AgentSpec, found: Loaded, scripted: Mapping[int, str]) -> AgentSpec:
    """Fill in what only the file knows: tools and agents that were not declared, the name of a scripted model."""
    whole = _mark(value, WHOLE_FILE) or ()
    assert isinstance(whole, tuple)
    changes: dict[str, Any] = {what: tuple(getattr(found, what)) for what in whole}
    model = _mark(value, MODEL)
    if model is not None:
        name = scripted.get(id(model))
        if name is None:
            name = f"{spec.name}.model"
            found.models[name] = model
        changes["model"] = f"scripted:{found.program.file}:{name}"
    return msgspec.structs.replace(spec, **changes) if changes else spec
