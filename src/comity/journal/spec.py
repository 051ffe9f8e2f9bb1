"""What a tool and an agent declare: values that decorators leave on functions and that hands, kernel and gates read."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec

from comity.journal.world import Premise, Touch


class Effect(StrEnum):
    """What performing a call does to the world, and so how a doubt about it is resolved (promise P2)."""

    PURE = "pure"
    READ = "read"
    IDEMPOTENT = "idempotent"
    RECONCILABLE = "reconcilable"
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"

    @property
    def acts(self) -> bool:
        """Tell whether the world may change: all classes but `pure` and `read`."""
        return self not in (Effect.PURE, Effect.READ)


Divergence = Literal["park", "fork", "rethink"]
ErrorMeans = Literal["", "unknown", "not_happened", "answer"]
Deliberation = Literal["off", "offered", "required"]


class ToolSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool as its author declared it.

    `once` lists argument paths (`order.id`) that make two calls the same act; `once_per` is `task`, `session`,
    `tenant` or a window such as `24h`. `reconcile`, `compensate` and `verify` name other tools of the same file.
    `schema` is the JSON Schema of the arguments.

    A tool of an upstream MCP server is named `SERVER.TOOL` and says so in `server` (else empty); `key_argument` is the
    argument that takes the idempotency key, `error_means` what an answer with `isError` says of the effect (empty:
    `unknown` for effects, `answer` for `pure` and `read`). `file` is the tool file of a tool that no agent file
    offers. `title`, `output` (JSON Schema of the result) and `annotations` are as MCP has them. `touches` and
    `premises` are what a call does to the shared world and rests on.
    """

    name: str
    effect: Effect = Effect.IRREVERSIBLE
    description: str = ""
    schema: dict[str, Any] = {}
    once: tuple[str, ...] = ()
    once_per: str = "task"
    reconcile: str = ""
    compensate: str = ""
    verify: str = ""
    visible_within_s: float = 0.0
    key_window_s: float = 0.0
    server: str = ""
    file: str = ""
    key_argument: str = ""
    error_means: ErrorMeans = ""
    title: str = ""
    output: dict[str, Any] = {}
    annotations: dict[str, Any] = {}
    touches: tuple[Touch, ...] = ()
    premises: tuple[Premise, ...] = ()


class Outside(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an outside program is recalled and heard (kind `outside`).

    `volatile_text` are regular expressions masked in system texts, `volatile_fields` top-level request fields that are
    masked (the stream flags always are); `is_positional` lets a thought be recalled by its place where its words
    differ a little. An identical request within `retry_join_s` of an answer is the client's retry. Nothing heard for
    `stalled_after_s` parks the task. `hosted_tools` are the provider's own tools that a request may name.
    `deliberation` is asked of calls to tools of the classes in `deliberation_for` (empty: of every effect).
    """

    volatile_text: tuple[str, ...] = ()
    volatile_fields: tuple[str, ...] = ()
    is_positional: bool = False
    retry_join_s: float = 2.0
    stalled_after_s: float = 600.0
    hosted_tools: tuple[str, ...] = ()
    deliberation: Deliberation = "off"
    deliberation_for: tuple[Effect, ...] = ()


class AgentSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """An agent as it was declared.

    A coroutine function (`kind` code), a declarative loop (`kind` harness), or a program of its own that comes in by
    the gateway (`kind` outside): its `models` are those that it may ask, by names and patterns.
    """

    name: str
    kind: Literal["code", "harness", "outside"] = "code"
    version: str = ""
    description: str = ""
    instructions: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    on_divergence: Divergence = "park"
    queue: str = "default"
    concurrency_limit: int = 0
    turns_max: int = 0
    outside: Outside = Outside()
    models: tuple[str, ...] = ()


class Program(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one agent file offers: its agents, its tools, and the digest of its code.

    `file` is an absolute path; the version of an agent is its declared label, else the first 12 hex digits of `digest`.
    """

    file: str
    digest: str
    agents: tuple[AgentSpec, ...]
    tools: tuple[ToolSpec, ...]

    def agent(self, name: str) -> AgentSpec | None:
        """Return the agent of that name, or None."""
        return next((spec for spec in self.agents if spec.name == name), None)

    def version(self, agent: AgentSpec) -> str:
        """Return the version of one of its agents."""
        return agent.version or self.digest[:12]

    def tool(self, name: str) -> ToolSpec | None:
        """Return the tool of that name, or None."""
        return next((spec for spec in self.tools if spec.name == name), None)
