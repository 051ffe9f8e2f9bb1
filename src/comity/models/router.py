"""The `Model` port over all configured models: each name goes to its upstream, or to a script.

A name is that of a `[models.NAME]` section, or `scripted:FILE:NAME`. A scripted model is code of a user's file:
`runtime` runs it in a hand process and gives the router the way there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from difflib import get_close_matches
from typing import Any

import msgspec

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import LeaseError, UsageError
from comity.journal.call import Permit
from comity.journal.ports import ModelLimits, ModelRequest
from comity.journal.protocol import Delta
from comity.models import failure
from comity.models.chat import ChatClient
from comity.models.settings import ModelEntry, ModelSettings
from comity.models.wire import request_body, scripted_request

Scripted = Callable[[str, str, bytes], AsyncIterator[Delta]]
"""Lets the scripted model NAME of FILE answer a request (canonical JSON: messages, model, params, tools)."""

SCRIPTED = "scripted:"
CHARACTERS_PER_TOKEN = 4


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
        self._clock = clock
        self._scripted = scripted
        self._clients = {
            name: ChatClient(name, upstream, clock=clock, entropy=entropy, environment=environment)
            for name, upstream in settings.upstreams.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Return the configured names, sorted."""
        return tuple(sorted(self._settings.models))

    def limits(self, model: str) -> ModelLimits | None:
        """Return what `model` may produce and costs; None where no such model is configured.

        A price is looked up by the model's id, then by its name here. A script costs nothing.
        """
        entry = self._entry(model)
        if entry is None:
            return None
        if entry.scripted:
            return ModelLimits(entry.output_tokens_max, entry.context_tokens_max, 0.0, 0.0)
        price = self._settings.prices.get(entry.model) or self._settings.prices.get(model)
        if price is None:
            return ModelLimits(entry.output_tokens_max, entry.context_tokens_max)
        return ModelLimits(
            entry.output_tokens_max, entry.context_tokens_max, price.usd_per_mtok_in, price.usd_per_mtok_out
        )

    async def stream(self, permit: Permit, request: ModelRequest) -> AsyncIterator[Delta]:
        """Yield the answer; the last delta carries the whole message, and its cost where the upstream reported usage.

        Raises:
            UsageError: no such model, or parameters that a model call cannot have.
            ComityError: no answer came; see `failure` for the codes.
        """
        entry, limits = self._entry(request.model), self.limits(request.model)
        if entry is None or limits is None:
            raise self._unknown(request.model)
        if entry.scripted:
            answer = self._play(permit, request, entry.scripted, limits)
        else:
            client = self._clients.get(entry.upstream)
            if client is None:
                text = f"model `{request.model}`: there is no upstream `{entry.upstream}`"
                raise UsageError("unknown_upstream", text, hint=f"add `[upstreams.{entry.upstream}]` to comity.toml")
            body = request_body(request, entry, self._settings.upstreams[entry.upstream])
            answer = client.stream(permit, body, limits)
        async with aclosing(answer):
            async for delta in answer:
                yield delta

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()

    def _entry(self, model: str) -> ModelEntry | None:
        if model in self._settings.models:
            return self._settings.models[model]
        file, _, name = model.removeprefix(SCRIPTED).rpartition(":")
        return ModelEntry(scripted=f"{file}:{name}") if model.startswith(SCRIPTED) and file and name else None

    def _unknown(self, model: str) -> UsageError:
        nearest = get_close_matches(model, self.names, 1)
        known = f"known: {', '.join(f'`{name}`' for name in self.names)}" if self.names else "no model is configured"
        hint = f"did you mean `{nearest[0]}`?" if nearest else f"{known}; add `[models.{model}]` to comity.toml"
        if model.startswith(SCRIPTED):
            hint = "a scripted model is named `scripted:FILE:NAME`"
        return UsageError("unknown_model", f"there is no model `{model}`", hint=hint)

    async def _play(
        self, permit: Permit, request: ModelRequest, script: str, limits: ModelLimits
    ) -> AsyncGenerator[Delta]:
        """Yield a script's answer, with its tokens counted where the script does not say."""
        if self._scripted is None:
            text = f"model `{request.model}` is a script, and scripts cannot run here"
            raise UsageError("no_scripts", text, hint="run the task on a node that has hands")
        if self._clock.monotonic_s() >= permit.expires_s:
            raise LeaseError("permit_expired", "the permit ran out before the model was asked", retry="redo")
        file, _, name = script.rpartition(":")
        async for delta in self._scripted(file, name, scripted_request(request)):
            if not delta.message:
                yield delta
                continue
            cost = delta.cost or limits.cost(tokens_of(*request.messages), tokens_of(delta.message))
            yield msgspec.structs.replace(delta, cost=cost)
            return
        raise failure.broken(f"script `{name}` ended without a message")


def tokens_of(*messages: bytes) -> int:
    """Return how many tokens a script counts for messages: a quarter of the characters of their text, rounded up.

    Their text is content, and names and arguments of tool calls.
    """
    characters = sum(_characters(msgspec.json.decode(message)) for message in messages)
    return -(-characters // CHARACTERS_PER_TOKEN)


def _characters(message: Any) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict):
        return 0
    pieces = content if isinstance(content, list) else [{"text": content}]
    texts = [piece.get("text") for piece in pieces if isinstance(piece, dict)]
    for call in message.get("tool_calls") or ():
        texts += [call["function"]["name"], call["function"]["arguments"]]
    return sum(len(text) for text in texts if isinstance(text, str))
