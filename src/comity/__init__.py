"""Comity: the kernel for fleets of AI agents.

What authors of agents and tools need. Names are resolved on first use, so that a brain loads what its agent names.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comity.agents.context import Context
    from comity.agents.conversation import Conversation, Message
    from comity.agents.harness import Agent
    from comity.agents.tool import agent, tool
    from comity.core.errors import CallFailed, ComityError, NotHappened, Refused, TimedOut, ToolFailed
    from comity.journal.answers import DidNotHappen, Happened, Unknown
    from comity.journal.budget import Budget
    from comity.journal.call import CallContext
    from comity.journal.performing import ensure_permit, report
    from comity.journal.spec import Effect
    from comity.journal.world import Premise, Touch

__all__ = [
    "Agent",
    "Budget",
    "CallContext",
    "CallFailed",
    "ComityError",
    "Context",
    "Conversation",
    "DidNotHappen",
    "Effect",
    "Happened",
    "Message",
    "NotHappened",
    "Premise",
    "Refused",
    "TimedOut",
    "ToolFailed",
    "Touch",
    "Unknown",
    "agent",
    "ensure_permit",
    "report",
    "run",
    "run_async",
    "tool",
]

_HOME = {
    "Agent": "comity.agents.harness",
    "Budget": "comity.journal.budget",
    "CallContext": "comity.journal.call",
    "CallFailed": "comity.core.errors",
    "ComityError": "comity.core.errors",
    "Context": "comity.agents.context",
    "Conversation": "comity.agents.conversation",
    "DidNotHappen": "comity.journal.answers",
    "Effect": "comity.journal.spec",
    "Happened": "comity.journal.answers",
    "Message": "comity.agents.conversation",
    "NotHappened": "comity.core.errors",
    "Premise": "comity.journal.world",
    "Refused": "comity.core.errors",
    "TimedOut": "comity.core.errors",
    "ToolFailed": "comity.core.errors",
    "Touch": "comity.journal.world",
    "Unknown": "comity.journal.answers",
    "agent": "comity.agents.tool",
    "ensure_permit": "comity.journal.performing",
    "report": "comity.journal.performing",
    "run": "comity.runtime.embedded",
    "run_async": "comity.runtime.embedded",
    "tool": "comity.agents.tool",
}


def __getattr__(name: str) -> Any:
    """Load the module that holds `name`."""
    if name not in _HOME:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(_HOME[name]), name)
