"""`comity up`: a node that takes tasks and works on them until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import click

from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import command

if TYPE_CHECKING:
    from comity.runtime.node import Node

LOOK_S = 0.5
"""How often to look whether the lease is lost."""


@command(
    "up",
    examples=[
        ("comity up", "with the agents of comity.toml and those that are registered"),
        ("comity up clerk.py deploy.py", "register these files first"),
        ("comity up --log-format json 2>> comity.log", ""),
    ],
)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.pass_obj
def up(app: App, files: tuple[str, ...]) -> int:
    """Run a node: take tasks and work on them until Ctrl-C.

    The first Ctrl-C (or SIGTERM) takes nothing more, lets running calls end and gives the tasks back; the second one
    quits at once, and loses nothing either.
    """
    return app.run(_up(app, files))


async def _up(app: App, files: tuple[str, ...]) -> int:
    from comity.cli.following import lease_lost
    from comity.runtime.node import Node

    app.set_up_logs("info")
    async with app.store(may_make=True) as store:
        node = Node(app.config, store, os.environ)
        try:
            await _enlist(app, node, files)
            ending = _Ending(app)
            await node.start()
            _greet(app, node)
            await ending.wait(node)
        except BaseException:
            await node.close()
            raise
        await node.drain()
    if node.kernel.lease.is_lost:
        raise lease_lost()
    return Exit.OK


async def _enlist(app: App, node: Node, files: tuple[str, ...]) -> None:
    """Register the files that were named, and those of `[agents.NAME]`."""
    from comity.cli.enlist import choose, read_program
    from comity.runtime.programs import register

    for file in files:
        await register(node.store, await read_program(node.zygotes, file, app.config))
    for name, section in app.config.sections.agents.items():
        if section.file:
            program = await read_program(node.zygotes, section.file, app.config)
            choose(program, name, section.file)
            await register(node.store, program)


def _greet(app: App, node: Node) -> None:
    from comity.runtime.config_keys import without_password
    from comity.runtime.words import short

    if app.log_format == "json":
        return  # the log says the same, and stays one JSON document a line
    screen, section = app.screen, app.config.sections.node
    screen.note(
        ("comity ", "bold"),
        f"node {short(node.id)} is up on {without_password(node.store.url)}, {section.workers} tasks at a time",
    )
    screen.note(("brain isolation: none; Ctrl-C drains, a second one quits", "dim"))


class _Ending:
    """The wish that the node ends: Ctrl-C or SIGTERM, or the loss of its lease."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._wished = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._wish)

    async def wait(self, node: Node) -> None:
        """Return when the node is to end."""
        while not self._wished.is_set() and not node.kernel.lease.is_lost:
            try:
                await asyncio.wait_for(self._wished.wait(), LOOK_S)
            except TimeoutError:
                continue

    def _wish(self) -> None:
        if self._wished.is_set():
            os._exit(Exit.INTERRUPTED)  # brains and hands end with this process
        self._wished.set()
        if self._app.log_format == "json":
            return
        self._app.screen.note("")
        self._app.screen.note(("drains: takes nothing more, lets running calls end; Ctrl-C again quits", "dim"))
