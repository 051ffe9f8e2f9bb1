"""The sections of `comity.toml`: every key, its type, its bounds and its default."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from comity.core.limits import LEASE_MARGIN_S, LEASE_S, PERMIT_S, SERVER_BODY_BYTES_MAX
from comity.hands.mcp_settings import McpUpstream
from comity.journal.budget import Budget
from comity.journal.spec import Divergence, Outside
from comity.models.settings import ModelEntry, Price, Upstream
from comity.runtime.config_tools import ToolSection

Count = Annotated[int, msgspec.Meta(ge=0)]
CountFromOne = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]
Dollars = Annotated[float, msgspec.Meta(ge=0)]


class ServerSection(msgspec.Struct, frozen=True):
    """`[server]`: where a node listens, and for whom.

    Other machines are let in with a certificate and its key, or where `behind_proxy` says that a proxy has them.
    `hosts` are the names by which this server is called, beside those of loopback. `open_metrics` shows `/metrics` to
    whoever asks. `tool_files` are Python files whose tools are offered to every program.
    """

    host: str = "127.0.0.1"
    port: Port = 7117
    tls_cert_file: str = ""
    tls_key_file: str = ""
    behind_proxy: bool = False
    hosts: tuple[str, ...] = ()
    body_bytes_max: CountFromOne = SERVER_BODY_BYTES_MAX
    open_metrics: bool = False
    tool_files: tuple[str, ...] = ()


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
    """`[agents.NAME]`: the file that defines an agent, and what its operator sets for it; 0 is no limit.

    With `kind = "outside"` it is a program of its own, which no file defines: its tasks are granted the tools, models
    and agents that these patterns stand for, and `outside` says how the program is recalled and heard.
    """

    file: str = ""
    concurrency_limit: Count = 0
    on_divergence: Divergence | None = None
    budget: BudgetSection = BudgetSection()
    kind: Literal["outside"] | None = None
    description: str = ""
    version: str = ""
    queue: str = "default"
    tools: tuple[str, ...] = ("*",)
    models: tuple[str, ...] = ("*",)
    agents: tuple[str, ...] = ()
    outside: Outside = Outside()


class LimitsSection(msgspec.Struct, frozen=True):
    """`[limits]`: how many tasks of one concurrency key run at a time, over all nodes."""

    concurrency: dict[str, CountFromOne] = {}


class PolicySection(msgspec.Struct, frozen=True):
    """`[policy]`: nothing to set yet."""


class WorldSection(msgspec.Struct, frozen=True):
    """`[world]`: the world file that a node puts in force at its start; empty leaves the one that is.

    A path is meant from the folder of the configuration.
    """

    file: str = ""


class Sections(msgspec.Struct, frozen=True):
    """The whole of a `comity.toml`."""

    server: ServerSection = ServerSection()
    store: StoreSection = StoreSection()
    node: NodeSection = NodeSection()
    models: dict[str, ModelEntry] = {}
    upstreams: dict[str, Upstream | McpUpstream] = {}
    prices: dict[str, Price] = {}
    tools: dict[str, ToolSection] = {}
    agents: dict[str, AgentSection] = {}
    limits: LimitsSection = LimitsSection()
    policy: PolicySection = PolicySection()
    world: WorldSection = WorldSection()

    @property
    def model_upstreams(self) -> dict[str, Upstream]:
        """Return the upstreams that serve models, by name."""
        return {name: item for name, item in self.upstreams.items() if isinstance(item, Upstream)}

    @property
    def mcp_upstreams(self) -> dict[str, McpUpstream]:
        """Return the upstreams that serve tools, by name."""
        return {name: item for name, item in self.upstreams.items() if isinstance(item, McpUpstream)}
