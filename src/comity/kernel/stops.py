"""Stops: what is stopped, as this node knows it, and the guard that every intent carries so that no stop is overlooked.

`stop/generation` is one row that each stop and each lift counts up; `stop/<scope>` exists while that scope is
stopped. Scopes: `fleet`, `tenant:NAME`, `session:ID`, `agent:NAME` (of all tenants), `agent:TENANT/NAME`, `task:ID`.
"""

from __future__ import annotations

from collections.abc import Iterable

from comity.core.codec import decode
from comity.core.errors import UsageError
from comity.core.ids import parse_id, show_id
from comity.journal.naming import actor_name
from comity.journal.task import TaskRow
from comity.journal.unit import StateIs, StateRow
from comity.kernel.patience import Patient

NAMESPACE = "stop"
GENERATION = "generation"
SCOPES = ("task", "agent", "session", "tenant", "fleet")


def scopes_of(row: TaskRow) -> tuple[str, ...]:
    """Return the scopes in which a task stands, narrowest first."""
    task = f"task:{show_id(row.id)}"
    session = (f"session:{row.session}",) if row.session else ()
    agents = dict.fromkeys((f"agent:{actor_name(row.tenant, row.agent)}", f"agent:{row.agent}"))
    return (task, *session, *agents, f"tenant:{row.tenant}", "fleet")


def parse_scope(text: str) -> str:
    """Return a scope in its canonical spelling.

    Raises:
        UsageError: it is none.
    """
    kind, _, name = text.partition(":")
    if text == "fleet":
        return text
    if kind == "task" and name:
        return f"task:{show_id(parse_id(name))}"
    if kind in SCOPES[1:4] and name:
        return text
    raise UsageError(
        "not_a_scope",
        f"`{text}` is not a scope",
        hint="a scope is `task:ID`, `agent:NAME`, `session:ID`, `tenant:NAME` or `fleet`",
    )


class Stops:
    """The stops in force, and the generation at which they were read."""

    def __init__(self, store: Patient) -> None:
        """Know nothing until `refresh`."""
        self._store = store
        self._scopes: dict[str, str] = {}
        self._version = -1

    @property
    def generation(self) -> int:
        """Return the version of the generation row that this knowledge is of."""
        return self._version

    @property
    def guard(self) -> StateIs:
        """Return the guard that fails once somebody has stopped or lifted anything."""
        return StateIs(NAMESPACE, GENERATION, self._version)

    async def refresh(self) -> bool:
        """Read what is stopped; tell whether that changed since."""
        row = await self._store.state(NAMESPACE, GENERATION)
        version = row.version if row else 0
        if version <= self._version:
            return False
        rows = await self._store.states(NAMESPACE)
        if version <= self._version:  # somebody else looked meanwhile, and saw more
            return False
        self._scopes = {item.key: _why(item) for item in rows if item.key != GENERATION}
        self._version = version
        return True

    def over(self, scopes: Iterable[str]) -> str:
        """Return the first of these scopes that is stopped, or an empty string."""
        if not self._scopes:
            return ""
        return next((scope for scope in scopes if scope in self._scopes), "")


def _why(row: StateRow) -> str:
    value = decode(row.value)
    return str(value.get("by", "")) if isinstance(value, dict) else ""
