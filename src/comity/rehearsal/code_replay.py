"""Real agent code, stepped: an agent stands where the outcomes that it was given lead it, and asks what it asks there.

What needs no device of the world is answered at once: scripted models, timers, the clock, chance, tools that the world
does not know. Where a model has several answers, each is a way to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from comity.core.codec import canonical, decode
from comity.core.errors import UsageError
from comity.journal.call import Call, CallKey, Delivered, Kind, Status
from comity.journal.program import AGENT, MODEL, Loaded, load, offered_by
from comity.journal.segment import EMPTY_HEAD
from comity.testing.agent import FakeKernel, done, refused

CALLS_MAX = 200
"""An agent that was given so many outcomes goes no further."""
NOW_US = 1_750_000_000_000_000
SEED = "00" * 16

Given = tuple[tuple[CallKey, Delivered], ...]


class Standing(NamedTuple):
    """Where an agent stands: the calls that wait for a device of the world, or the ways to go on thinking.

    `answers` are the outcomes that a model call may have, where there is more than one.
    """

    calls: tuple[Call, ...] = ()
    answers: tuple[tuple[CallKey, tuple[Delivered, ...]], ...] = ()
    is_over: bool = False
    error: str = ""


class Code:
    """An agent's code, with the models that answer it."""

    def __init__(self, name: str, where: str, folder: str) -> None:
        """Load `where`: `file.py:agent` (from `folder`) or `module:agent`.

        Raises:
            UsageError: there is no such file, module or agent.
        """
        self.name, self.where = name, where
        place, _, wanted = where.rpartition(":")
        self._loaded, self.agent = _loaded(name, place, wanted, folder)
        self.spec = getattr(self.agent, AGENT)

    def stand(self, given: Given, is_of_world: Callable[[Call], bool]) -> Standing:
        """Run the agent up to where the outcomes that it was given lead it.

        Raises:
            UsageError: a model that no script answers was asked.
        """
        kernel = FakeKernel(self.agent, f"rehearse {self.name}")
        contexts: dict[bytes, list[Any]] = {EMPTY_HEAD: []}
        try:
            kernel.begin()
            waiting = list(given)
            while True:
                answers = self._settle(kernel, contexts, waiting, is_of_world)
                if not waiting or kernel.finished is not None:
                    break
                key, outcome = waiting.pop(0)
                kernel.end(next(call for call in kernel.open if call.key == key), outcome)
            if kernel.finished is not None:
                return Standing(is_over=True, error=kernel.finished.error if kernel.finished.code else "")
            calls = tuple(call for call in kernel.open if is_of_world(call))
            return Standing(calls, tuple(answers.items()))
        finally:
            kernel.close()

    def _settle(
        self,
        kernel: FakeKernel,
        contexts: dict[bytes, list[Any]],
        waiting: Sequence[tuple[CallKey, Delivered]],
        is_of_world: Callable[[Call], bool],
    ) -> dict[CallKey, tuple[Delivered, ...]]:
        """Answer all that needs nobody; return the model calls that have several answers."""
        open_answers: dict[CallKey, tuple[Delivered, ...]] = {}
        given = {key for key, _ in waiting}
        while kernel.finished is None:
            call = next((item for item in kernel.open if item.key not in open_answers and not is_of_world(item)), None)
            if call is None:
                return open_answers
            answers = self._answers(call, contexts)
            if len(answers) == 1:
                kernel.end(call, answers[0])
            else:
                open_answers[call.key] = answers
                if answers and call.key in given:
                    return open_answers
        return {}

    def _answers(self, call: Call, contexts: dict[bytes, list[Any]]) -> tuple[Delivered, ...]:
        if call.kind == Kind.MODEL:
            asked = decode(call.args)
            messages = contexts[call.base] + [decode(item.data) for item in call.segments]
            contexts[bytes.fromhex(asked["head"])] = messages
            return tuple(done(message) for message in self._thoughts(call.name, messages, asked["tools"]))
        if call.kind == Kind.NOW:
            return (done(NOW_US),)
        if call.kind == Kind.RANDOM:
            return (done(SEED),)
        if call.kind in (Kind.SIGNAL, Kind.HUMAN, Kind.CHILD, Kind.CONTINUE):
            return ()
        if call.kind == Kind.SPAWN:
            return (refused("not_rehearsed", "no agents are spawned in a rehearsal", "rehearse that agent by itself"),)
        return (done(None),)

    def _thoughts(self, name: str, messages: list[Any], tools: Iterable[str]) -> list[Mapping[str, Any]]:
        model = self._loaded.models.get(name) or getattr(self.agent, MODEL, None)
        if model is None:
            raise UsageError(
                "model_not_scripted",
                f"agent `{self.name}` asks model `{name}`, and a rehearsal asks no real one",
                hint="give the agent a `comity.testing.ScriptedModel`; several answers: `comity.rehearsal.Branching`",
            )
        several = getattr(model, "answers", None)
        shown = [{"type": "function", "function": {"name": tool}} for tool in tools]
        return several(messages, shown) if callable(several) else [model.answer(messages, shown)]


class Branching:
    """A model that may answer as any of several scripted models do: a rehearsal takes each way."""

    def __init__(self, *models: Any) -> None:
        """Answer as `models` do; where nothing is rehearsed, as the first."""
        self.__comity_scripted__ = True
        self._models = models

    def answer(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Return the first model's answer."""
        answered: dict[str, Any] = self._models[0].answer(messages, tools)
        return answered

    def answers(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[Mapping[str, Any]]:
        """Return each answer that there may be, once."""
        found = [model.answer(messages, tools) for model in self._models]
        return [item for place, item in enumerate(found) if item not in found[:place]]


def result_of(values: Mapping[str, Any]) -> Delivered:
    """Return the outcome of a read: `result` alone, or its fields by name."""
    return done(values["result"] if set(values) == {"result"} else dict(values) or None)


def refusal(rule: str) -> Delivered:
    """Return the outcome of a call that was refused."""
    return refused("refused", f"refused by {rule}", "read again, and decide anew")


def is_refused(outcome: Delivered) -> bool:
    """Tell whether an outcome is none that was asked for."""
    return outcome.status is not Status.DONE


def as_args(call: Call) -> dict[str, Any]:
    """Return the arguments of a call."""
    found = decode(call.args)
    return dict(found) if isinstance(found, dict) else {}


def args_key(args: Mapping[str, Any]) -> bytes:
    """Return what is the same for the same arguments."""
    return canonical(dict(args))


def _loaded(name: str, place: str, wanted: str, folder: str) -> tuple[Loaded, Any]:
    if not place or not wanted:
        raise UsageError(
            "bad_python",
            f"agent `{name}`: `{place or wanted}` names no agent",
            hint="write `file.py:agent` or `module:agent`",
        )
    if place.endswith(".py"):
        loaded = load(Path(folder) / place)
        found = loaded.agents.get(wanted) or next(
            (item for item in loaded.agents.values() if getattr(item, "__name__", "") == wanted), None
        )
        if found is None:
            known = ", ".join(f"`{item}`" for item in loaded.agents) or "none"
            raise UsageError("no_agent_there", f"`{place}` offers no agent `{wanted}`", hint=f"there are: {known}")
        return loaded, found
    try:
        found = getattr(import_module(place), wanted)
    except (ImportError, AttributeError) as error:
        raise UsageError("no_agent_there", f"agent `{name}`: {error}", hint="write `file.py:agent`") from None
    if getattr(found, AGENT, None) is None:
        raise UsageError("no_agent_there", f"`{place}:{wanted}` is no agent", hint="decorate it with `@comity.agent`")
    return offered_by(found), found
