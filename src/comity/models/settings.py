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
ANTHROPIC_URL = "https://api.anthropic.com"
ANTHROPIC_UPSTREAM = "environment-anthropic"
OUTPUT_TOKENS_MAX = 8_192


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server of models. Of `kind` openai it speaks Chat Completions and Responses, of `kind` anthropic Messages.

    `base_url` ends before the API's path (`/chat/completions`, `/messages`), mostly with `/v1`. `api_key_env` names the
    environment variable with its key (empty: none is sent); `timeout_s` is the longest silence, not the longest answer.
    `output_limit` is how the server calls the limit on what it may produce: `max_tokens`, or `max_completion_tokens`
    (OpenAI itself). `echo_reasoning` sends a model's earlier reasoning back to it, which some servers demand and others
    refuse; both are for conversations of the SDK. An address in `base_url`, and `localhost`, may be any; another name
    may lead to an address of a private network where `allow_private` says so, and a `proxy` always.
    """

    base_url: str
    kind: Literal["openai", "anthropic"] = "openai"
    api_key_env: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    connect_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    output_limit: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    echo_reasoning: bool = False
    proxy: str = ""
    allow_private: bool = False

    def speaks(self, wire: str) -> bool:
        """Tell whether it serves requests of this format; "" is the SDK's, which are Chat Completions."""
        return (self.kind == "anthropic") == (wire == "messages")


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way to a model: `model` at `upstream`; an empty `model` is the name that was asked for.

    Routes of one model are tried in an order that chance gives by their `weight`; those of weight 0 come last.
    """

    upstream: str
    model: str = ""
    weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0


class ModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model that agents know by the name of this section, or by one for which that stands (`gpt-*`).

    It is `model` at `upstream`, one of several `upstreams`, or `scripted = "FILE:NAME"`. An empty `model` is the name
    that was asked for.
    """

    upstream: str = ""
    model: str = ""
    output_tokens_max: Annotated[int, msgspec.Meta(ge=1)] = OUTPUT_TOKENS_MAX
    context_tokens_max: Annotated[int, msgspec.Meta(ge=1)] | None = None
    scripted: str = ""
    upstreams: tuple[Route, ...] = ()

    @property
    def routes(self) -> tuple[Route, ...]:
        """Return the ways to it."""
        given = self.upstreams or ((Route(self.upstream),) if self.upstream else ())
        return tuple(msgspec.structs.replace(route, model=route.model or self.model) for route in given)


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a million tokens of a model id cost, in US dollars."""

    usd_per_mtok_in: Annotated[float, msgspec.Meta(ge=0)]
    usd_per_mtok_out: Annotated[float, msgspec.Meta(ge=0)]


class ModelSettings(msgspec.Struct, frozen=True):
    """All that a `ModelRouter` knows: models and upstreams by name, prices by model id; either may be a pattern."""

    models: Mapping[str, ModelEntry] = {}
    upstreams: Mapping[str, Upstream] = {}
    prices: Mapping[str, Price] = {}


class Found(msgspec.Struct, frozen=True):
    """What the environment says of models; `sources` names the variable behind each model and upstream."""

    models: Mapping[str, ModelEntry]
    upstreams: Mapping[str, Upstream]
    sources: Mapping[str, str]


def from_environment(environment: Mapping[str, str]) -> Found:
    """Return the models that the variables of other people's clients describe.

    OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL give `default`, and every other name by the pattern `*`.
    ANTHROPIC_BASE_URL (without its `/v1`) and ANTHROPIC_API_KEY give `claude-*`, and `*` where OpenAI's are not set.
    Of URL and key one is enough: a key alone means the provider itself, a URL alone a server that asks for none. A URL
    may lead to a private network: nobody but the operator can have set it, and nothing else could allow it.
    """
    models: dict[str, ModelEntry] = {}
    upstreams: dict[str, Upstream] = {}
    sources: dict[str, str] = {}
    for name, prefix, made in (
        (ENVIRONMENT_UPSTREAM, "OPENAI", _openai),
        (ANTHROPIC_UPSTREAM, "ANTHROPIC", _anthropic),
    ):
        url, has_key = environment.get(f"{prefix}_BASE_URL", "").strip(), bool(environment.get(f"{prefix}_API_KEY"))
        if not url and not has_key:
            continue
        upstreams[name] = made(url, f"{prefix}_API_KEY" if has_key else "")
        source = f"{prefix}_BASE_URL" if url else f"{prefix}_API_KEY"
        sources[name] = source
        given = {"*": ModelEntry(name)}
        if name == ENVIRONMENT_UPSTREAM:
            given[DEFAULT_MODEL] = ModelEntry(name, environment.get("OPENAI_MODEL", "").strip() or DEFAULT_MODEL_ID)
        else:
            given["claude-*"] = ModelEntry(name)
        models = given | models
        sources |= {model: source for model in given if model not in sources}
    return Found(models, upstreams, sources)


def _openai(url: str, api_key_env: str) -> Upstream:
    return Upstream(url or OPENAI_URL, api_key_env=api_key_env, allow_private=bool(url))


def _anthropic(url: str, api_key_env: str) -> Upstream:
    base_url = (url or ANTHROPIC_URL).rstrip("/").removesuffix("/v1") + "/v1"
    return Upstream(base_url, "anthropic", api_key_env, allow_private=bool(url))
