"""What `comity init` writes: a `comity.toml` with every key, its default and a word on it, all of it commented out."""

from __future__ import annotations


def init_text() -> str:
    """Return a commented `comity.toml`: it loads as it stands, and so it does with each `# key = …` uncommented."""
    return _TEXT


_TEXT = """\
# comity.toml: the settings of Comity. Every line is a comment until you remove its "# ".
#
# A value comes from a flag, else from the environment (COMITY_NODE__WORKERS=4 is `workers` of `[node]`), else from this
# file, else it is the default that stands here. `comity config show` tells which. No secrets here: name the environment
# variable that holds one.

[store]
# SQLite on this machine, or PostgreSQL for several. Default: comity.db in COMITY_HOME (~/.local/share/comity).
# url = "sqlite:////var/lib/comity/comity.db"
# url = "postgresql://comity@db.internal/comity"          # password: PGPASSWORD or ~/.pgpass

[node]
# workers = 8              # tasks that run at the same time
# queues = []              # queues to take tasks from; none named: all
# hand_env = []            # environment variables that tools see, for instance ["GITHUB_TOKEN"]
# lease_s = 10.0           # a node that is silent this long loses its tasks to others
# lease_margin_s = 2.0     # it starts nothing in this last part of its lease
# permit_s = 5.0           # an attempt must start this soon after it was allowed
# linger_s = 2.0           # how long the process of a waiting task is kept
# drain_s = 30.0           # how long a node that shuts down waits for what it began

[server]
# host = "127.0.0.1"
# port = 7117              # 0 takes a free one
# hosts = []               # names by which this server is called, beside loopback: ["comity.example.com"]
# tls_cert_file = ""       # a PEM certificate chain and its key: needed to listen on another address than loopback
# tls_key_file = ""
# behind_proxy = false     # a proxy in front has the TLS
# body_bytes_max = 33554432   # a request's body has at most so many bytes
# open_metrics = false     # show /metrics without a token
# tool_files = []          # Python files whose tools are offered to every program: ["tools.py"]

# Models, by the name that agents and programs use. Where none is named here, the environment gives them: OPENAI_API_KEY
# (or OPENAI_BASE_URL) `default` and every name, ANTHROPIC_API_KEY (or ANTHROPIC_BASE_URL) those of `claude-*`.
# [models.default]
# upstream = "openai"
# model = "gpt-5-mini"
# output_tokens_max = 8192       # the most that one answer may have; reserved from the budget before each call
# context_tokens_max = 400000    # the model's window; no limit is known where this is absent

# [models."gpt-*"]               # a pattern: many names, each sent on as it was asked for
# upstreams = [{ upstream = "openai", weight = 3 }, { upstream = "openai", weight = 1, model = "gpt-5" }]
#                                # several, by weight; the next where one is busy, unreachable or has no key

# [models.rehearsed]
# scripted = "agent.py:answers"  # a scripted model: a function in a Python file, for tests

# [upstreams.openai]
# base_url = "https://api.openai.com/v1"
# kind = "openai"                # what it speaks: Chat Completions and Responses; "anthropic": Messages
# api_key_env = "OPENAI_API_KEY"
# timeout_s = 600.0              # the longest silence within an answer
# connect_timeout_s = 10.0
# output_limit = "auto"          # what the server calls its limit: "max_tokens" or "max_completion_tokens"
# echo_reasoning = false         # send a model's earlier reasoning back to it
# proxy = ""
# allow_private = false          # whether the name may lead to an address of a private network

# An upstream can also be a server of tools (MCP). Its tools are named after it: `crm.book`. What it offers when it is
# first reached is accepted; what it changes later waits for `comity tools accept`.
# [upstreams.crm]
# kind = "mcp"
# url = "https://crm.example.com/mcp"
# headers_env = { Authorization = "CRM_AUTH" }   # a header, and the environment variable that holds its value
# allow_private = false          # whether the name may lead to an address of a private network
# trust_annotations = false      # take the server's word for the effect classes of its tools
# timeout_s = 600.0              # the longest silence of a call
# connect_timeout_s = 30.0       # how long it may take to be ready
# restart_max_s = 60.0           # the longest pause before one that failed is tried again

# [upstreams.files]
# kind = "mcp"
# command = ["npx", "-y", "@modelcontextprotocol/server-filesystem", "."]   # from the folder of this file
# env = []                       # environment variables that it sees, for instance ["GITHUB_TOKEN"]

# Prices by model id or pattern, in US dollars for a million tokens. A budget in dollars needs them.
# [prices."gpt-5-mini"]
# usd_per_mtok_in = 0.25
# usd_per_mtok_out = 2.0

# [agents.clerk]
# file = "clerk.py"              # from the folder of this file
# concurrency_limit = 0          # tasks of this agent that run at a time, over all nodes; 0 is no limit
# on_divergence = "park"         # when code and journal disagree: "park", "fork" or "rethink"

# [agents.clerk.budget]          # for each task and all below it; an absent key is no limit
# tokens = 200000
# usd = 1.5
# wall_s = 3600.0
# context_tokens = 100000
# calls = { model = 100, irreversible = 1 }

# A program of its own, in any language, that comes in by the gateway. `comity run -- COMMAND` needs no section.
# [agents.visitor]
# kind = "outside"
# tools = ["*"]                  # names and patterns: ["book", "crm.*"]
# models = ["*"]
# agents = []                    # agents that it may give work to
# description = ""
# version = ""
# queue = "default"
# [agents.visitor.outside]
# volatile_text = []             # regular expressions of what changes in system texts at each start: a clock, an id
# volatile_fields = []           # request fields that change at each start
# is_positional = false          # recall a thought by its place where its words differ a little
# retry_join_s = 2.0             # the same request so soon after its answer is the client's retry
# stalled_after_s = 600.0        # silent for so long, its task is parked
# hosted_tools = []              # the provider's own tools that a request may name: ["web_search"]
# deliberation = "off"           # "offered" or "required": the reasons of a call, as an argument of it
# deliberation_for = []          # of calls to tools of these effect classes; none: of every effect

# [tools.pay]
# effect = "irreversible"        # only stricter than what the tool's author declared
# visible_within_s = 5.0         # how long its effect may take to show where `reconcile` looks

# [tools."crm.book"]             # a foreign tool is what stands here; of one that is not, every call is irreversible
# effect = "reconcilable"
# once = ["order.id"]            # arguments that make two calls the same act,
# once_per = "task"              # within a "task", a "session", a "tenant" or a window such as "24h"
# reconcile = "crm.find"         # the tool that tells whether a call happened
# compensate = ""                # the tool that undoes a call
# verify = ""                    # the tool that judges a result
# key_argument = ""              # the argument that takes the idempotency key
# key_window_s = 0.0             # for how long the server knows a key; 0 is for ever
# error_means = "unknown"        # what an error that it answers says: "unknown", "not_happened" or "answer"

# [limits]
# concurrency = { "customer-api" = 4 }   # tasks of this concurrency key that run at a time, over all nodes

# [world]
# file = "world.yaml"            # put in force at the start of a node; `comity world apply` does it without one

# Nothing to set here yet.
# [policy]
"""
