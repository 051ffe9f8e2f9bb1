"""Which kind of agent a section describes."""

from __future__ import annotations

from comity.coordination.document import AgentSection
from comity.rehearsal.code_agent import CodeAgent
from comity.rehearsal.code_replay import Code
from comity.rehearsal.device import Device
from comity.rehearsal.process import Process
from comity.rehearsal.recorded import RECORDED, RecordedAgent, read_recording
from comity.rehearsal.rule_agent import RuleAgent
from comity.rehearsal.space import Space
from comity.rehearsal.stage import MakeAgent


def agent_maker(folder: str) -> MakeAgent:
    """Return what makes agents of sections; files of real agents are looked for from `folder`."""

    def make(name: str, number: int, section: AgentSection, space: Space, device: Device) -> Process:
        if section.python.startswith(RECORDED):
            return RecordedAgent(name, number, read_recording(name, section.python, folder), space, device)
        if section.python:
            return CodeAgent(name, number, section, space, device, Code(name, section.python, folder))
        return RuleAgent(name, number, section, space, device)

    return make
