"""`comity up`: a node that takes tasks, works on them and serves, until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.runtime.node import Node
    from comity.server.app import Server
    from comity.server.auth import Operators

LOOK_S = 0.5
"""How often to look whether the lease is lost."""


class UpOptions(msgspec.Struct, frozen=True):
    """What was typed."""

    files: tuple[str, ...]
    host: str | None
    port: int | None
    listen_fd: int | None
    announce_fd: int | None


@command(
    "up",
    examples=[
        ("comity up", "with the agents of comity.toml and those that are registered"),
        ("comity up clerk.py deploy.py", "register these files first"),
        ("comity up --port 0 --log-format json 2>> comity.log", "on a free port"),
    ],
)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--host", default=None, metavar="NAME", help="Listen on this address instead of `server.host`.")
@click.option("--port", default=None, type=click.IntRange(0, 65_535), help="Instead of `server.port`; 0: a free one.")
@click.option("--listen-fd", default=None, type=click.IntRange(0), metavar="N", help="Serve on this inherited socket.")
@click.option(
    "--announce-fd",
    default=None,
    type=click.IntRange(0),
    metavar="N",
    help="Write URL and a token for the supervisor to this descriptor, once, as a line of JSON.",
)
@click.pass_obj
def up(app: App, /, **given: object) -> int:
    """Run a node: take tasks, work on them and serve the API until Ctrl-C.

    The first Ctrl-C (or SIGTERM) takes nothing more, lets requests and running calls end and gives the tasks back; the
    second one quits at once, and loses nothing either.
    """
    options = msgspec.convert(given, UpOptions)
    app.flags = {"server.host": options.host, "server.port": options.port}
    return app.serve(_up(app, options))


async def _up(app: App, options: UpOptions) -> int:
    from comity.cli.following import lease_lost
    from comity.runtime.node import Node
    from comity.server.assembly import server_of
    from comity.server.auth import Operators
    from comity.server.listening import listen

    app.set_up_logs("info")
    supervisor = _supervisor(options.announce_fd)
    listening = listen(app.config.sections.server, options.listen_fd)
    async with app.store(may_make=True) as store:
        node = Node(app.config, store, os.environ)
        server: Server | None = None
        try:
            await _enlist(app, node, options.files)
            ending = _Ending(app)
            operators = Operators(store, node.clock, node.entropy)
            server = await server_of(node, listening, operators)
            await node.start()
            await server.start()
            _greet(app, node)
            await _give_token(app, server.url, operators, supervisor)
            await ending.wait(node, server)
        except BaseException:
            if server is not None:
                await server.close()
            await node.close()
            raise
        await server.drain()
        await node.drain()
    if node.kernel.lease.is_lost:
        raise lease_lost()
    return Exit.OK


async def _enlist(app: App, node: Node, files: tuple[str, ...]) -> None:
    """Register the files that were named, and the agents of `[agents.NAME]`."""
    from comity.cli.enlist import choose, read_program
    from comity.runtime.catalog import outside_spec
    from comity.runtime.programs import register, register_outside

    for file in files:
        await register(node.store, await read_program(node.zygotes, file, app.config))
    for name, section in app.config.sections.agents.items():
        if section.file:
            program = await read_program(node.zygotes, section.file, app.config)
            choose(program, name, section.file)
            await register(node.store, program)
        elif section.kind == "outside":
            await register_outside(node.store, name, outside_spec(name, app.config, node.catalog))


def _greet(app: App, node: Node) -> None:
    from comity.runtime.config_keys import without_password
    from comity.runtime.isolation import described
    from comity.runtime.words import short

    if app.log_format == "json":
        return  # the log says the same, and stays one JSON document a line
    screen, section = app.screen, app.config.sections.node
    screen.note(
        ("comity ", "bold"),
        f"node {short(node.id)} is up on {without_password(node.store.url)}, {section.workers} tasks at a time",
    )
    screen.note("listens on ", (node.url, "bold"))
    screen.note((f"brain isolation: {described()}; Ctrl-C drains, a second one quits", "dim"))


def _supervisor(fd: int | None) -> BinaryIO | None:
    """Return where a supervisor reads what is announced.

    Raises:
        UsageError: nobody does.
    """
    if fd is None:
        return None
    try:
        return os.fdopen(fd, "wb")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        text = f"descriptor `{fd}` cannot be written to: {why}"
        raise UsageError("bad_announce_fd", text, hint="a supervisor passes the writing end of a pipe") from None


async def _give_token(app: App, url: str, operators: Operators, supervisor: BinaryIO | None) -> None:
    """Hand a supervisor its token; else show the store's first one to the person at the terminal."""
    if supervisor is not None:
        with supervisor:
            supervisor.write(msgspec.json.encode({"url": url, "token": operators.passing()}) + b"\n")
        return
    is_log = app.log_format == "json" or not sys.stderr.isatty()  # no place for a token
    token = None if is_log else await operators.first()
    if token is None and app.log_format != "json" and not await operators.valid():
        app.screen.note(("no operator token is valid: `comity token new NAME` makes one", "dim"))
    if token is not None:
        console = app.screen.console(is_error=True)
        console.print("\noperator token, shown this once (the store has its hash only):", soft_wrap=True)
        console.print(f"  export COMITY_TOKEN={token}\n", soft_wrap=True)


class _Ending:
    """The wish that the node ends: Ctrl-C or SIGTERM, or the loss of its lease."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._wished = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._wish)

    async def wait(self, node: Node, server: Server) -> None:
        """Return when the node is to end."""
        while not self._wished.is_set() and not node.kernel.lease.is_lost:
            server.check()
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
