"""Which kind of agent a section describes."""

from __future__ import annotations

from comity.coordination.document import AgentSection
from comity.rehearsal.device import Device
from comity.rehearsal.process import Process
from comity.rehearsal.rule_agent import RuleAgent
from comity.rehearsal.space import Space


def made_agent(name: str, number: int, section: AgentSection, space: Space, device: Device) -> Process:
    """Return the agent that a section describes."""
    return RuleAgent(name, number, section, space, device)
