"""What an operator says of models: where each is served, what it may produce, what it costs.

These are sections of `comity.toml`; `runtime` reads them, `ModelRouter` takes them. A key of an upstream is never
here, only the name of the environment variable that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "default"
"""The name of the model that the environment gives: see `from_environment`."""
DEFAULT_MODEL_ID = "gpt-5-mini"
"""The model id behind `default` where OPENAI_MODEL names none."""
ENVIRONMENT_UPSTREAM = "environment"
OUTPUT_TOKENS_MAX = 8_192


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server that speaks OpenAI's Chat Completions at `base_url`/chat/completions.

    `api_key_env` names the environment variable with its key (empty: none is sent); `timeout_s` is the longest
    silence, not the longest answer. `output_limit` is how the server calls the limit on what it may produce:
    `max_tokens`, or `max_completion_tokens` (OpenAI itself). `echo_reasoning` sends a model's earlier reasoning back
    to it, which some servers demand and others refuse.
    """

    base_url: str
    api_key_env: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    connect_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    output_limit: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    echo_reasoning: bool = False
    proxy: str = ""


class ModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model that agents know by the name of this section: `model` at `upstream`, or `scripted = "FILE:NAME"`."""

    upstream: str = ""
    model: str = ""
    output_tokens_max: Annotated[int, msgspec.Meta(ge=1)] = OUTPUT_TOKENS_MAX
    context_tokens_max: Annotated[int, msgspec.Meta(ge=1)] | None = None
    scripted: str = ""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a million tokens of a model id cost, in US dollars."""

    usd_per_mtok_in: Annotated[float, msgspec.Meta(ge=0)]
    usd_per_mtok_out: Annotated[float, msgspec.Meta(ge=0)]


class ModelSettings(msgspec.Struct, frozen=True):
    """All that a `ModelRouter` knows: models and upstreams by name, prices by model id."""

    models: Mapping[str, ModelEntry] = {}
    upstreams: Mapping[str, Upstream] = {}
    prices: Mapping[str, Price] = {}


def from_environment(environment: Mapping[str, str]) -> tuple[ModelEntry, Upstream] | None:
    """Return the model `default` that OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL describe.

    One of the first two is enough: a key alone means OpenAI itself, a URL alone a server that asks for none. None
    where neither is set.
    """
    base_url, has_key = environment.get("OPENAI_BASE_URL", "").strip(), bool(environment.get("OPENAI_API_KEY"))
    if not base_url and not has_key:
        return None
    upstream = Upstream(base_url or OPENAI_URL, api_key_env="OPENAI_API_KEY" if has_key else "")
    model = environment.get("OPENAI_MODEL", "").strip() or DEFAULT_MODEL_ID
    return ModelEntry(upstream=ENVIRONMENT_UPSTREAM, model=model), upstream
