"""The server that a program speaks to: the one that was named, or a node of the supervisor's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from comity.cli.app import App
from comity.cli.program_task import Asking
from comity.core.clock import Clock
from comity.core.errors import HandsError, UsageError
from comity.runtime.config import FILE_NAME
from comity.runtime.node_process import NodeProcess
from comity.server.client import ApiClient


class Reached(NamedTuple):
    """A server: how it is asked, and the port at which programs reach it."""

    asking: Asking
    port: int


class NodeFailed(HandsError):
    """The supervisor's own node did not come up; `status` is its exit code, and it has said why."""

    def __init__(self, status: int) -> None:
        """Keep the exit code."""
        super().__init__("no_node", "the node did not come up", hint="it says above why")
        self.status = status


def server_url(app: App) -> str:
    """Return the URL of the server that is named, by option or environment; an empty string where none is.

    Raises:
        UsageError: a store is named as well.
    """
    if app.server_url and app.store_url is not None:
        raise UsageError("bad_usage", "`--server` and `--store` name two places", hint="leave one of them out")
    return app.server_url or ("" if app.store_url is not None else os.environ.get("COMITY_SERVER", ""))


@asynccontextmanager
async def named_server(app: App, url: str, clock: Clock) -> AsyncIterator[Reached]:
    """Give the server at `url`, with the token in COMITY_TOKEN.

    Raises:
        UsageError: there is no token, or `url` is none.
    """
    token = os.environ.get("COMITY_TOKEN", "")
    if not token:
        hint = "`comity token new NAME`, on the server's machine, makes one"
        raise UsageError("no_token", "COMITY_TOKEN is not set", hint=hint)

    async def ready(_api: ApiClient) -> bool:
        return False

    async with ApiClient(url, token) as api:
        parts = urlsplit(api.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        yield Reached(Asking(api, clock, ready, lambda: _tell_silence(app, api.url)), port)


@asynccontextmanager
async def own_server(app: App, clock: Clock) -> AsyncIterator[Reached]:
    """Give a node of this supervisor's own, started again when it dies and drained in the end.

    Raises:
        NodeFailed: it did not come up.
    """
    config = app.config
    configured = _Fingerprint(config.file or Path.cwd() / FILE_NAME)

    def died(how: str) -> None:
        configured.check()
        app.screen.note((f"the node ended ({how})", "yellow"), ("; another one takes its place", "dim"))

    level = "debug" if app.is_debug else app.log_level or "warning"
    environment = {**os.environ, "COMITY_CONFIG": str(config.file or "")}
    if app.store_url is not None:
        environment["COMITY_STORE__URL"] = app.store_url
    options = ("--quiet", "--log-level", level, "--log-format", app.log_format)
    node = NodeProcess(options, environment, clock, drain_s=config.sections.node.drain_s, on_death=died)

    async def ready(api: ApiClient) -> bool:
        api.token = (await node.ready()).token
        return True

    try:
        status = await node.start()
        if status is not None:
            raise NodeFailed(status)
        announced = await node.ready()
        async with ApiClient(announced.url, announced.token) as api:
            yield Reached(Asking(api, clock, ready, lambda: _tell_silence(app, api.url)), node.port)
    finally:
        await node.close()
    try:
        configured.check()
    except UsageError as error:
        app.screen.warn(f"{error.message}; {error.hint}")


class _Fingerprint:
    """The configuration as it was when it was read: a program may write into the folder in which it lies."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._digest = self._now()

    def check(self) -> None:
        """Refuse to read it again where it is another one.

        Raises:
            UsageError: it is.
        """
        if self._now() != self._digest:
            text = f"`{self._file}` was changed while the program ran"
            raise UsageError("config_changed", text, hint="look at it before Comity reads it again")

    def _now(self) -> bytes:
        try:
            return hashlib.sha256(self._file.read_bytes()).digest()
        except OSError:
            return b""


def _tell_silence(app: App, url: str) -> None:
    app.screen.note((f"{url} does not answer; asks again until it does", "dim"))
