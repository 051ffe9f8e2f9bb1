"""The `Model` port over all configured models: each name goes to one of its upstreams, or to a script.

A name is that of a `[models.NAME]` section, one for which such a name stands (`gpt-*`), or `scripted:FILE:NAME`. An
upstream that cannot be asked is passed over for the next as long as no answer began.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from difflib import get_close_matches

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import ComityError, UsageError
from comity.journal.call import Permit
from comity.journal.naming import is_pattern, most_specific
from comity.journal.ports import ModelLimits, ModelRequest
from comity.journal.protocol import Delta
from comity.journal.wire import Answer
from comity.models.chat_request import request_body
from comity.models.client import TRIES_MAX, UpstreamClient, UpstreamRequest
from comity.models.envelope import with_envelope
from comity.models.formats import FORMATS
from comity.models.reading import Reading, Relay, Words
from comity.models.scripts import SCRIPTED, Scripted, Scripts
from comity.models.settings import ModelEntry, ModelSettings, Price, Route

FALLS_OVER = frozenset({"model_unreachable", "model_busy", "no_api_key"})
"""Codes of errors after which another upstream may be asked: no answer of this one began."""
TRIES_BEFORE_NEXT = 2
"""How often a busy upstream is asked where another can be."""


class ModelRouter:
    """All models of a node. `environment` holds the keys; `scripted` None means that no script can run here."""

    def __init__(
        self,
        settings: ModelSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        environment: Mapping[str, str],
        scripted: Scripted | None = None,
    ) -> None:
        """Know the models; nothing is connected before the first request."""
        self._settings = settings
        self._entropy = entropy
        self._scripts = Scripts(scripted, clock)
        self._clients = {
            name: UpstreamClient(name, upstream, clock=clock, entropy=entropy, environment=environment)
            for name, upstream in settings.upstreams.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Return the configured names that stand for themselves, sorted."""
        return tuple(sorted(name for name in self._settings.models if not is_pattern(name)))

    @property
    def patterns(self) -> tuple[str, ...]:
        """Return the configured names that stand for many, sorted."""
        return tuple(sorted(filter(is_pattern, self._settings.models)))

    def limits(self, model: str) -> ModelLimits | None:
        """Return what `model` may produce and costs; None where no such model is configured.

        A price is looked up by the model's id at its upstream, then by the name that was asked for. Of several
        upstreams the dearest counts. A script costs nothing.
        """
        entry = self._entry(model)
        if entry is None:
            return None
        if entry.scripted:
            return ModelLimits(entry.output_tokens_max, entry.context_tokens_max, 0.0, 0.0)
        prices = [self._price(route, model) for route in entry.routes]
        known = [price for price in prices if price is not None]
        if not known or len(known) < len(prices):
            return _limits(entry, None)
        dearest = Price(max(item.usd_per_mtok_in for item in known), max(item.usd_per_mtok_out for item in known))
        return _limits(entry, dearest)

    async def stream(self, permit: Permit, request: ModelRequest) -> AsyncIterator[Delta]:
        """Yield the answer; the last delta carries the whole message, and its cost where the upstream reported usage.

        Raises:
            UsageError: no such model, none that speaks the request's format, or parameters that a call cannot have.
            ComityError: no answer came; see `failure` for the codes.
        """
        entry = self._entry(request.model)
        if entry is None:
            raise self._unknown(request.model)
        answer = self._play(permit, request, entry) if entry.scripted else self._ask(permit, request, entry)
        async with aclosing(answer):
            async for delta in answer:
                yield delta

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self, permit: Permit, request: ModelRequest, entry: ModelEntry) -> AsyncGenerator[Delta]:
        """Ask one upstream after another until one begins to answer."""
        routes = self._in_order(self._speaking(entry, request))
        fell_over: list[str] = []
        for route in routes:
            has_next = len(fell_over) + 1 < len(routes)
            question, read = self._prepared(request, entry, route, tuple(fell_over))
            tries_max = TRIES_BEFORE_NEXT if has_next else TRIES_MAX
            asked = self._clients[route.upstream].stream(permit, question, read, tries_max)
            try:
                async with aclosing(asked):
                    async for delta in asked:
                        yield delta
                return
            except ComityError as error:
                if not has_next or error.code not in FALLS_OVER:
                    raise
                fell_over.append(f"{route.upstream}: {error.code}")

    def _prepared(
        self, request: ModelRequest, entry: ModelEntry, route: Route, fell_over: tuple[str, ...]
    ) -> tuple[UpstreamRequest, Callable[[], Reading]]:
        """Return what is sent by a route, and what makes a reading of the answer."""
        model_id = route.model or request.model
        limits = _limits(entry, self._price(route, request.model))
        if not request.wire:
            upstream = self._clients[route.upstream].upstream
            body = request_body(request, model_id, entry.output_tokens_max, upstream)
            return UpstreamRequest(FORMATS["chat"].path, body), lambda: Words(limits)
        wire = FORMATS[request.wire]
        body = wire.put_together(model_id, with_envelope(request), request.rest)
        answer = Answer("", upstream=route.upstream, fell_over=fell_over)
        question = UpstreamRequest(wire.path, body, request.params.get("headers", {}))
        return question, lambda: Relay(wire, request.rest, limits, answer)

    def _speaking(self, entry: ModelEntry, request: ModelRequest) -> list[Route]:
        """Return the routes of a model to upstreams that speak the request's format."""
        for route in entry.routes:
            if route.upstream not in self._clients:
                text = f"model `{request.model}`: there is no upstream `{route.upstream}`"
                raise UsageError("unknown_upstream", text, hint=f"add `[upstreams.{route.upstream}]` to comity.toml")
        found = [route for route in entry.routes if self._clients[route.upstream].upstream.speaks(request.wire)]
        if not found:
            wire, kind = request.wire or "chat", "anthropic" if request.wire == "messages" else "openai"
            text = f"no upstream of model `{request.model}` speaks the format `{wire}`"
            hint = f'add one of `kind = "{kind}"` to the model\'s `upstreams` in comity.toml, or ask in its own format'
            raise UsageError("wrong_wire", text, hint=hint)
        return found

    def _in_order(self, routes: Sequence[Route]) -> list[Route]:
        """Return the routes in the order in which they are asked: by chance and weight, weight 0 last."""
        left, order = list(routes), []
        while len(left) > 1 and (total := sum(route.weight for route in left)) > 0:
            point = int.from_bytes(self._entropy.take(4), "big") / 2**32 * total
            chosen = next(route for route in left if (point := point - route.weight) < 0)
            left.remove(chosen)
            order.append(chosen)
        return order + left

    def _price(self, route: Route, model: str) -> Price | None:
        prices = self._settings.prices
        names = (route.model or model, model)
        exact = next((prices[name] for name in names if name in prices), None)
        return exact or next((prices[found] for name in names if (found := most_specific(name, prices))), None)

    def _entry(self, model: str) -> ModelEntry | None:
        file, _, name = model.removeprefix(SCRIPTED).rpartition(":")
        if model not in self._settings.models and model.startswith(SCRIPTED):
            return ModelEntry(scripted=f"{file}:{name}") if file and name else None
        found = most_specific(model, self._settings.models)
        return self._settings.models[found] if found else None

    def _unknown(self, model: str) -> UsageError:
        nearest = get_close_matches(model, self.names, 1)
        configured = (*self.names, *self.patterns)
        known = f"known: {', '.join(f'`{name}`' for name in configured)}" if configured else "no model is configured"
        hint = f"did you mean `{nearest[0]}`?" if nearest else f"{known}; add `[models.{model}]` to comity.toml"
        if model.startswith(SCRIPTED):
            hint = "a scripted model is named `scripted:FILE:NAME`"
        return UsageError("unknown_model", f"there is no model `{model}`", hint=hint)

    async def _play(self, permit: Permit, request: ModelRequest, entry: ModelEntry) -> AsyncGenerator[Delta]:
        if request.wire:
            text = f"model `{request.model}` is a script, which only agents of the SDK can ask"
            raise UsageError("wrong_wire", text, hint="name a model that has an `upstream`")
        played = self._scripts.play(permit, request, entry.scripted, _limits(entry, Price(0.0, 0.0)))
        async with aclosing(played):
            async for delta in played:
                yield delta


def _limits(entry: ModelEntry, price: Price | None) -> ModelLimits:
    if price is None:
        return ModelLimits(entry.output_tokens_max, entry.context_tokens_max)
    return ModelLimits(entry.output_tokens_max, entry.context_tokens_max, price.usd_per_mtok_in, price.usd_per_mtok_out)
