"""Business keys: what makes two calls the same act, across retries, rethinks, tasks and agents.

A key is a state row of namespace `once`: inserted with the intent (compare-and-set, so that one of two racing acts
loses), marked done with the outcome, deleted where the act is known not to have happened or was compensated, and kept
while it is in doubt.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from comity.core.codec import canonical, decode, digest, pack
from comity.core.errors import UsageError
from comity.core.ids import Id
from comity.journal.segment import NOTHING, Payload
from comity.journal.spec import ToolSpec
from comity.journal.unit import StateRow, StateWrite

NAMESPACE = "once"
_WINDOW = re.compile(r"^(\d+)([smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Act(msgspec.Struct, frozen=True, array_like=True):
    """What a business key stands for: who acts or acted, on which arguments, and what came of it.

    `unverified`: it happened, and its verifier did not let the result pass.
    """

    task: Id
    call: str
    digest: bytes
    state: Literal["held", "done", "unverified"]
    result: Payload = NOTHING
    until_us: int | None = None


read_act = msgspec.msgpack.Decoder(Act).decode


def window_s(once_per: str) -> int | None:
    """Return the seconds of a window such as `24h`; None for `task`, `session` and `tenant`."""
    found = _WINDOW.match(once_per)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def key_of(spec: ToolSpec, args: bytes, task: Id, session: str, tenant: str) -> str:
    """Return the state key of the act that these arguments name.

    Raises:
        UsageError: a declared path is not among the arguments.
    """
    value = decode(args)
    values = [_at(value, path, spec.name) for path in spec.once]
    scope = {"task": f"task:{task.hex()}", "session": f"session:{tenant}/{session}"}.get(
        spec.once_per, f"tenant:{tenant}"
    )
    if spec.once_per == "session" and not session:
        scope = f"task:{task.hex()}"
    return f"{scope}/{spec.name}/{digest(canonical(values)).hex()[:40]}"


def held(key: str, act: Act, found: StateRow | None) -> StateWrite:
    """Return the write that claims the key; `found` is an expired row that it replaces."""
    return StateWrite(NAMESPACE, key, pack(act), 0 if found is None else found.version)


def settled(key: str, act: Act | None) -> StateWrite:
    """Return the write that marks the act done, or frees its key (None)."""
    return StateWrite(NAMESPACE, key, None if act is None else pack(act))


def is_over(act: Act, now_us: int) -> bool:
    """Tell whether the window of a finished act has passed."""
    return act.state != "held" and act.until_us is not None and now_us >= act.until_us


def _at(value: Any, path: str, tool: str) -> Any:
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UsageError(
                "no_business_key",
                f"`{tool}` names `{path}` as its business key, and the arguments have none",
                hint=f"give `{path}`, or change `once` of the tool",
            )
        value = value[part]
    return value
