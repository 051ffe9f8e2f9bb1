"""Recorded runs: an agent that does again what a journal says it did, and a new agent tried against yesterday's acts.

A recording keeps its order and does not think: it acts, whatever the others have done meanwhile. That tells which
decisions of a new agent would have conflicted with what happened, not what the recorded agents would have done instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from comity.coordination.document import AgentSection, WorldDocument
from comity.core.codec import decode
from comity.core.errors import UsageError
from comity.journal.call import Kind, Status
from comity.journal.entry import Entry, Intent, Outcome
from comity.rehearsal.device import Device
from comity.rehearsal.process import Footprint, Label, Move
from comity.rehearsal.space import Shared, Space

RECORDED = "recorded:"
"""What `python:` begins with where an agent is a recording: `recorded:x` is `x.json`, a list of `RecordedCall`."""


class RecordedCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call of a tool that happened: who made it, with which arguments, when."""

    tool: str
    args: dict[str, Any] = {}
    actor: str = ""
    at_us: int = 0


def calls_of(entries: Iterable[Entry], actor: str = "") -> list[RecordedCall]:
    """Return the calls of tools that happened by a task's journal, in order; those in doubt count.

    Raises:
        UsageError: arguments stand outside the entries, in segments.
    """
    intents: dict[int, RecordedCall] = {}
    for entry in entries:
        body = entry.read()
        if isinstance(body, Intent) and entry.kind == Kind.TOOL and not body.cleans:
            given = body.args if body.args.inline else body.asked.args
            if not given.inline:
                raise UsageError(
                    "large_arguments", f"the arguments of entry `{entry.seq}` are in a segment of their own"
                )
            intents[entry.seq] = RecordedCall(body.asked.name, dict(decode(given.inline) or {}), actor, entry.at_us)
        elif isinstance(body, Outcome) and (body.status is Status.REFUSED or not body.happened):
            intents.pop(body.call, None)
    return list(intents.values())


def with_recording(document: WorldDocument, name: str, calls: Sequence[RecordedCall]) -> WorldDocument:
    """Return a document in which agent `name` does these calls again."""
    section = document.rehearsal
    assert section is not None, "a document without a rehearsal has no agents to add to"
    agent = AgentSection(python=RECORDED + msgspec.json.encode(calls).decode(), acts_max=max(1, len(calls)))
    agents = {**section.agents, name: agent}
    return msgspec.structs.replace(document, rehearsal=msgspec.structs.replace(section, agents=agents))


def read_recording(name: str, where: str, folder: str) -> list[RecordedCall]:
    """Return the calls that `where` names: a file, or the calls themselves as JSON.

    Raises:
        UsageError: the file is not there, or is no list of calls.
    """
    text = where.removeprefix(RECORDED)
    if not text.startswith("[") and not text.endswith(".json"):
        text += ".json"
    try:
        data = text if text.startswith("[") else (Path(folder) / text).read_text(encoding="utf-8")
        return msgspec.json.decode(data, type=list[RecordedCall])
    except OSError as error:
        raise UsageError("no_such_file", f"agent `{name}`: `{text}` cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = 'write `[{"tool": "drain", "args": {"node": "a"}}]`'
        raise UsageError(
            "bad_recording", f"agent `{name}`: `{text[:60]}` is no recording: {error}", hint=hint
        ) from None


class RecordedAgent:
    """An agent that does recorded calls in their order. Its state is how many it has done."""

    is_agent = True
    has_goal = False
    start = 0

    def __init__(self, name: str, number: int, calls: Sequence[RecordedCall], space: Space, device: Device) -> None:
        """Do `calls` on `device`."""
        self.name, self.number, self._calls = name, number, calls
        self._space, self._device = space, device

    def moves(self, shared: int, local: int) -> Sequence[Move]:
        """Return the next call; where it is refused now, the one after it comes next."""
        if local >= len(self._calls):
            return ()
        call, state = self._calls[local], self._space.states[shared]
        act = self._device.bind(local, call.tool, call.args)
        made = []
        for after, _, label in self._device.perform(state, act, self.name, self.number):
            is_again = label.fault == "crash before the effect"
            told = label if not call.actor else label._replace(rule=_by(call.actor, label))
            made.append(Move(self._space.number(after), local if is_again else local + 1, told))
        return made

    def footprint(self) -> Footprint:
        """Return what its calls may read and touch."""
        found = [
            self._device.footprint(call.tool, {name: str(value) for name, value in call.args.items()})
            for call in self._calls
        ]
        reads = frozenset(place for item in found for place in item.reads)
        return Footprint(reads, frozenset(place for item in found for place in item.writes))

    def is_pending(self, local: int) -> bool:
        """Tell whether it has calls left."""
        return local < len(self._calls)

    def spent(self, local: int) -> int:
        """Return how many calls it has done."""
        return local

    def left(self, local: int) -> int:
        """Return how many calls are left."""
        return len(self._calls) - local

    def without_count(self, local: int) -> object:
        """Return how many calls it has done: a recording never comes round."""
        return local

    def reaches_goal(self, shared: Shared, local: int) -> bool:
        """Return True: what it wanted is not recorded."""
        return True


def _by(actor: str, label: Label) -> str:
    return f"{label.rule}, recorded of {actor}" if label.rule else f"recorded of {actor}"
