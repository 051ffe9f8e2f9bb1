"""The sections of `comity.toml`: every key, its type, its bounds and its default."""

from __future__ import annotations

from typing import Annotated

import msgspec

from comity.core.errors import UsageError
from comity.core.limits import LEASE_MARGIN_S, LEASE_S, PERMIT_S
from comity.journal.budget import Budget
from comity.journal.spec import Divergence, Effect, ToolSpec
from comity.models.settings import ModelEntry, Price, Upstream

Count = Annotated[int, msgspec.Meta(ge=0)]
CountFromOne = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]
Dollars = Annotated[float, msgspec.Meta(ge=0)]


class ServerSection(msgspec.Struct, frozen=True):
    """`[server]`: nothing to set yet."""


class StoreSection(msgspec.Struct, frozen=True):
    """`[store]`: where the truth is kept; empty means `comity.db` in COMITY_HOME."""

    url: str = ""


class NodeSection(msgspec.Struct, frozen=True):
    """`[node]`: how one node process runs tasks.

    `workers` tasks run at a time. The node's lease lasts `lease_s`, and it starts nothing in the last `lease_margin_s`
    of it; an attempt must start within `permit_s` of its intent. A brain whose task waits is kept for `linger_s`; a
    node that shuts down waits `drain_s` for running attempts. `queues` empty means all. `hand_env` names the
    environment variables that tools see on top of PATH, HOME, TMPDIR, TZ, LANG and LC_*.
    """

    workers: CountFromOne = 8
    lease_s: PositiveSeconds = LEASE_S
    lease_margin_s: PositiveSeconds = LEASE_MARGIN_S
    permit_s: PositiveSeconds = PERMIT_S
    linger_s: Seconds = 2.0
    drain_s: Seconds = 30.0
    queues: tuple[str, ...] = ()
    hand_env: tuple[str, ...] = ()


class ToolSection(msgspec.Struct, frozen=True):
    """`[tools.NAME]`: what an operator knows better than a tool's author. An effect class can only become stricter."""

    effect: Effect | None = None
    visible_within_s: Seconds | None = None

    def applied(self, spec: ToolSpec) -> ToolSpec:
        """Return `spec` with these overrides.

        Raises:
            UsageError: the class would be less strict than the author's, or lack the tool that it leans on.
        """
        effect = self.effect or spec.effect
        ranks = list(Effect)
        if ranks.index(effect) < ranks.index(spec.effect):
            raise UsageError(
                "effect_widened",
                f"`tools.{spec.name}.effect` may not be `{effect}`: its author declared `{spec.effect}`",
                hint=f"take `{spec.effect}` or a stricter class ({', '.join(ranks[ranks.index(spec.effect) :])})",
            )
        lacks = {Effect.RECONCILABLE: not spec.reconcile, Effect.REVERSIBLE: not spec.compensate}
        if effect != spec.effect and lacks.get(effect, False):
            raise UsageError(
                "effect_unsupported",
                f"`tools.{spec.name}.effect` may not be `{effect}`: the tool has nothing to do that with",
                hint="`reconcilable` needs a `reconcile` tool, `reversible` a `compensate` tool",
            )
        visible_within_s = spec.visible_within_s if self.visible_within_s is None else self.visible_within_s
        return msgspec.structs.replace(spec, effect=effect, visible_within_s=visible_within_s)


class BudgetSection(msgspec.Struct, frozen=True):
    """`[agents.NAME.budget]`: limits of each task of an agent; a key that is absent is no limit."""

    tokens: Count | None = None
    usd: Dollars | None = None
    calls: dict[str, Count] = {}
    wall_s: PositiveSeconds | None = None
    context_tokens: CountFromOne | None = None

    def budget(self) -> Budget:
        """Return it as the journal keeps it."""
        usd_micro = None if self.usd is None else round(self.usd * 1_000_000)
        return Budget(self.tokens, usd_micro, self.calls, self.wall_s, self.context_tokens)


class AgentSection(msgspec.Struct, frozen=True):
    """`[agents.NAME]`: the file that defines an agent, and what its operator sets for it; 0 is no limit."""

    file: str = ""
    concurrency_limit: Count = 0
    on_divergence: Divergence | None = None
    budget: BudgetSection = BudgetSection()


class LimitsSection(msgspec.Struct, frozen=True):
    """`[limits]`: how many tasks of one concurrency key run at a time, over all nodes."""

    concurrency: dict[str, CountFromOne] = {}


class PolicySection(msgspec.Struct, frozen=True):
    """`[policy]`: nothing to set yet."""


class WorldSection(msgspec.Struct, frozen=True):
    """`[world]`: nothing to set yet."""


class Sections(msgspec.Struct, frozen=True):
    """The whole of a `comity.toml`."""

    server: ServerSection = ServerSection()
    store: StoreSection = StoreSection()
    node: NodeSection = NodeSection()
    models: dict[str, ModelEntry] = {}
    upstreams: dict[str, Upstream] = {}
    prices: dict[str, Price] = {}
    tools: dict[str, ToolSection] = {}
    agents: dict[str, AgentSection] = {}
    limits: LimitsSection = LimitsSection()
    policy: PolicySection = PolicySection()
    world: WorldSection = WorldSection()
