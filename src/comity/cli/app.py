"""What a command is given: the settings that every command takes, the configuration, the store, the screen."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from comity.cli.screen import Screen
from comity.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from comity.cli.api import Api
    from comity.journal.ports import Store
    from comity.runtime.config import Config
    from comity.runtime.orders import Orders

T = TypeVar("T")


class App:
    """One invocation. The attributes are set by the shared options before the command runs."""

    def __init__(self) -> None:
        """Take every default."""
        self.is_json = False
        self.is_quiet = False
        self.is_debug = False
        self.config_file = ""
        self.store_url: str | None = None
        self.server_url = ""
        self.log_format = "text"
        self.log_level = ""
        self.flags: dict[str, Any] = {}
        """Settings that a command's own options give, by their dotted key."""
        self._screen: Screen | None = None
        self._config: Config | None = None

    @property
    def screen(self) -> Screen:
        """Return where to write."""
        if self._screen is None:
            self._screen = Screen(is_json=self.is_json, is_quiet=self.is_quiet)
        return self._screen

    @property
    def config(self) -> Config:
        """Return the configuration, read on first use.

        Raises:
            UsageError: it is wrong.
        """
        if self._config is None:
            from comity.runtime.config import load_config

            flags = {"store.url": self.store_url, **self.flags}
            self._config = load_config(os.environ, file=self.config_file, flags=flags)
        return self._config

    @property
    def who(self) -> str:
        """Return in whose name orders are given: the user of the operating system."""
        import getpass

        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return "operator"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a command's coroutine to its end."""
        import asyncio

        return asyncio.run(work)

    def serve(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine of a command that serves to its end, on a loop that is made for that."""
        import uvloop

        return uvloop.run(work)

    def set_up_logs(self, level: str) -> None:
        """Send logs to stderr in the format that was asked for; `level` where none was."""
        from comity.runtime import log

        log.set_up("debug" if self.is_debug else self.log_level or level, self.log_format)
        log.hide(self.config.secrets)

    @asynccontextmanager
    async def store(self, *, may_make: bool = False) -> AsyncIterator[Store]:
        """Open the configured store; where it may not be made, a SQLite file that is not there is an error.

        Raises:
            StoreError: it cannot be used.
        """
        from comity.stores.open import open_store

        store = open_store(self.config.sections.store.url)
        self._look_for(Path(str(getattr(store, "path", ""))), may_make=may_make)
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    def look_for_store(self) -> None:
        """Refuse a store that is a file and not there.

        Raises:
            StoreError: there is none.
        """
        from comity.stores.open import open_store

        store = open_store(self.config.sections.store.url)
        self._look_for(Path(str(getattr(store, "path", ""))), may_make=False)

    def confirm(self, question: str, refusal: str) -> None:
        """Ask whether to go on; `refusal` is said where nobody can be asked.

        Raises:
            UsageError: nobody can be asked.
        """
        import click

        if self.is_json or not sys.stdin.isatty():
            raise UsageError("not_confirmed", refusal, hint="--yes goes on without asking")
        click.confirm(question, abort=True, err=True)

    def _look_for(self, file: Path, *, may_make: bool) -> None:
        """Refuse a SQLite file that is not there, where it may not be made; make COMITY_HOME for one in it."""
        if not file.name:
            return
        if not may_make and not file.exists():
            raise StoreError(
                "no_store",
                f"there is no store at `{file}`",
                hint="`comity up` and `comity run` make it; `comity config show` tells where its name comes from",
            )
        if file.parent == self.config.home:
            self.config.make_home()

    @asynccontextmanager
    async def api(self, *, has_tools: bool = False) -> AsyncIterator[Api]:
        """Give the operations of the API: of the server that is named, else on the store; `has_tools` for the catalog.

        Raises:
            UsageError: a server and a store are named, or there is no token for the server.
            StoreError: the store cannot be used.
        """
        if self.server_url and self.store_url is not None:
            raise UsageError("bad_usage", "`--server` and `--store` name two places", hint="leave one of them out")
        url = self.server_url or ("" if self.store_url is not None else os.environ.get("COMITY_SERVER", ""))
        if url:
            from comity.cli.api_server import server_api

            silence = (f"{url} does not answer; asks again until it does", "dim")
            async with server_api(url, lambda: self.screen.note(silence)) as there:
                yield there
        else:
            from comity.cli.api_store import store_api

            async with self.store() as store, store_api(store, self.config, self.who, has_tools=has_tools) as here:
                yield here

    @asynccontextmanager
    async def orders(self) -> AsyncIterator[tuple[Store, Orders]]:
        """Open the store, with the orders of this user on it."""
        async with self.store() as store:
            yield store, self.orders_on(store)

    def orders_on(self, store: Store) -> Orders:
        """Return the orders of this user on an open store."""
        from comity.core.clock import SystemClock
        from comity.core.entropy import SystemEntropy
        from comity.runtime.orders import Orders

        return Orders(store, SystemClock(), SystemEntropy(), self.who)
