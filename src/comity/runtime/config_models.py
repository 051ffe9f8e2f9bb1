"""Models and their upstreams: what the environment adds to a configuration, and what does not fit in it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from comity.core.errors import UsageError
from comity.journal.naming import is_pattern
from comity.models.settings import DEFAULT_MODEL, ModelEntry, Upstream, from_environment
from comity.runtime.config_keys import Tree, guess, shown
from comity.runtime.config_sections import Sections
from comity.runtime.config_upstreams import is_http


def with_environment(sections: Sections, tree: Tree, environment: Mapping[str, str]) -> Sections:
    """Return the sections with the models that other clients' variables describe, after all that is configured.

    Patterns are added only where no model is configured: whoever names models means those, and no others.
    """
    found = from_environment(environment)
    models = {
        name: entry
        for name, entry in found.models.items()
        if name not in sections.models and not (is_pattern(name) and sections.models)
    }
    used = {route.upstream for entry in models.values() for route in entry.routes}
    upstreams = {name: item for name, item in found.upstreams.items() if name in used}
    for section, made in (("models", models), ("upstreams", upstreams)):
        for name, item in made.items():
            for field in _set_fields(item):
                tree.sources[(section, name, field)] = f"env {found.sources[name]}"
    if DEFAULT_MODEL in models and environment.get("OPENAI_MODEL"):
        tree.sources[("models", DEFAULT_MODEL, "model")] = "env OPENAI_MODEL"
    return msgspec.structs.replace(
        sections, models={**sections.models, **models}, upstreams={**sections.upstreams, **upstreams}
    )


def check_models(sections: Sections, tree: Tree) -> None:
    """Refuse models and upstreams that do not fit each other.

    Raises:
        UsageError: it names key, value and place.
    """
    for name, upstream in sections.model_upstreams.items():
        _check_upstream(name, upstream, tree)
    for name, model in sections.models.items():
        _check_model(name, model, sections, tree)


def _set_fields(item: msgspec.Struct) -> list[str]:
    """Return the fields that are not at their default."""
    fields = msgspec.structs.fields(item)
    return [field.name for field in fields if field.required or getattr(item, field.name) != field.default]


def _check_upstream(name: str, upstream: Upstream, tree: Tree) -> None:
    for field, url in (("base_url", upstream.base_url), ("proxy", upstream.proxy)):
        if field == "proxy" and not url:
            continue
        if not is_http(url) or (field == "base_url" and "@" in url):
            key = ("upstreams", name, field)
            given = "that" if "@" in url else f"`{url[:60]}`"
            text = f"`{shown(key)}` must be an http or https URL, not {given} ({tree.source(key)})"
            raise UsageError(
                "bad_value", text, hint='for instance `base_url = "https://api.openai.com/v1"`, without a user'
            )


def _check_model(name: str, model: ModelEntry, sections: Sections, tree: Tree) -> None:
    key = ("models", name)
    if model.scripted:
        file, _, script = model.scripted.rpartition(":")
        if not file or not script or model.routes or model.model:
            text = f"`{shown(key)}` must have `scripted` alone, or `upstream` and `model` ({tree.source(key)})"
            raise UsageError(
                "bad_value", text, hint='write `scripted = "FILE:NAME"`, a scripted model of a Python file'
            )
        return
    if model.upstream and model.upstreams:
        text = f"`{shown(key)}` must have `upstream` or `upstreams`, not both ({tree.source(key)})"
        raise UsageError("bad_value", text, hint="several go into `upstreams`, each with its own `model` and `weight`")
    if not model.routes:
        text = f"`{shown((*key, 'upstream'))}` is missing ({tree.source(key)})"
        raise UsageError("missing_key", text, hint="a model has `upstream`, `upstreams` or `scripted`")
    for route in model.routes:
        if route.upstream not in sections.model_upstreams:
            named = (*key, "upstreams" if model.upstreams else "upstream")
            text = f"`{shown(named)}`: there is no `[upstreams.{route.upstream}]` ({tree.source(named)})"
            raise UsageError("unknown_upstream", text, hint=guess(route.upstream, sections.model_upstreams))
