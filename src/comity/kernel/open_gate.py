"""The open gate: lets through what the task's grant names, and refuses anything else.

It fills *authorize* and *admit* until governance and coordination bring theirs. Fail closed: no grant names nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from comity.journal.call import Attempt, Call, Kind, Permit
from comity.journal.naming import is_named
from comity.journal.ports import View
from comity.journal.unit import StateWrite
from comity.journal.verdict import Allow, Refuse, Verdict

_ALLOW = Allow()


class OpenGate:
    """Authorize by the grant alone."""

    async def judge(self, call: Call, view: View, now_us: int) -> Verdict:
        """Allow what the grant names."""
        if call.kind == Kind.TOOL:
            if view.tool is None:
                return Refuse(
                    "not_registered", f"tool `{call.name}` is not registered", _near(call.name, view.grant.tools)
                )
            if call.branch.startswith("~"):
                return _ALLOW
            return self._named("tool", call.name, view.grant.tools)
        if call.kind == Kind.MODEL:
            return self._named("model", call.name, view.grant.models)
        if call.kind == Kind.SPAWN:
            return self._named("agent", call.name, view.grant.agents)
        return _ALLOW

    def settle(self, call: Call, attempt: Attempt, view: View) -> Sequence[StateWrite]:
        """Nothing was reserved."""
        return ()

    def _named(self, what: str, name: str, granted: Sequence[str]) -> Verdict:
        if name in granted or (what != "tool" and is_named(name, granted)):
            return _ALLOW
        return Refuse("not_granted", f"the task's grant does not name {what} `{name}`", _near(name, granted))


class PassGate:
    """Admit everything: nothing is coordinated yet."""

    async def judge(self, call: Call, view: View, now_us: int) -> Verdict:
        """Allow."""
        return _ALLOW

    def settle(self, call: Call, attempt: Attempt, view: View) -> Sequence[StateWrite]:
        """Nothing was reserved."""
        return ()


class NoWorld:
    """No world: nothing can be claimed in it or observed."""

    async def perform(self, permit: Permit, call: Call, view: View) -> Attempt:
        """Say so."""
        return Attempt("failed", error="no world is in force", code="no_world", hint="do without it")


class PlainShaper:
    """Shape nothing: the whole grant is offered."""

    async def shape(self, call: Call, view: View) -> Call:
        """Return the call as it came."""
        return call


def _near(name: str, granted: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, granted, 1)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"granted are: {', '.join(granted)}" if granted else "nothing is granted"
