"""Polls of the world file: a task of the observing agent for each, begun where missing, ended where it is over."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from comity.coordination.document import WorldDocument
from comity.core.errors import ComityError
from comity.journal.ports import Store, TaskFilter
from comity.journal.spec import AgentSpec, Program, ToolSpec
from comity.journal.task import State
from comity.runtime.coordination import observer
from comity.runtime.orders import Orders
from comity.runtime.programs import digest_of

NAME = "comity.observer"
_OPEN = tuple(state for state in State if not state.ended)

log = logging.getLogger("comity.coordination")


def observer_program(tools: Sequence[ToolSpec]) -> Program:
    """Return the program of the observing agent: its file, and the read tools that it may call."""
    file = str(Path(observer.__file__))
    reads = tuple(tool for tool in tools if not tool.effect.acts)
    spec = AgentSpec(NAME, version="1", description="Polls the world.", tools=tuple(tool.name for tool in reads))
    return Program(file, digest_of(file), (spec,), reads)


async def keep_polls(
    document: WorldDocument, version: int, tools: Sequence[ToolSpec], orders: Orders, store: Store
) -> None:
    """Begin the polls of version `version` of a world file that are missing, and cancel those of earlier ones.

    A poll whose tool is not there, or acts, is logged and left out: a later start finds it.
    """
    program = observer_program(tools)
    wanted = {f"poll:{name}:{version}": (name, poll) for name, poll in document.polls.items()}
    for row in await store.tasks(TaskFilter(states=_OPEN, agent=NAME, limit=1_000)):
        if row.dedupe not in wanted:
            await orders.cancel(row.id)
    for dedupe, (name, poll) in wanted.items():
        if program.tool(poll.tool) is None:
            log.warning("poll `%s`: there is no read tool `%s` of an upstream or a tool file", name, poll.tool)
            continue
        try:
            goal = {"tool": poll.tool, "args": poll.args, "every_s": poll.every_s}
            await orders.create(program, NAME, goal, dedupe=dedupe)
        except ComityError as error:
            log.warning("poll `%s` could not begin: %s", name, error.message)
