"""The command line in this process, on a store and by a server: the same commands twice."""

from __future__ import annotations

import asyncio
import getpass
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from comity.runtime.config import load_config
from comity.runtime.node import Node
from comity.server.assembly import server_of
from comity.server.auth import Operators
from comity.server.listening import listen
from comity.stores.open import open_store


class Both:
    """The same store twice, one of them behind a server; `same` runs a command line on each."""

    def __init__(self, comity: Any, tasks: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.comity = comity
        self.tasks = tasks
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.server: dict[str, str] = {}

    def run(self, line: str, *more: str, by_server: bool) -> tuple[int, str, str]:
        words = [word.format(**self.tasks) for word in line.split()]
        with self.monkeypatch.context() as patch:
            patch.setenv("COMITY_HOME", str(self.folder / "home"))
            if by_server:
                patch.setenv("COMITY_HOME", str(self.folder / "nowhere"))
                for name, value in self.server.items():
                    patch.setenv(name, value)
            result = self.comity(*words, *more)
        return result.exit_code, self.plain(result.stdout), self.plain(result.stderr)

    def same(self, line: str, *more: str) -> tuple[int, str, str]:
        """Return what both ways gave."""
        here, there = (self.run(line, *more, by_server=by_server) for by_server in (False, True))
        assert here == there
        return here

    def plain(self, text: str) -> str:
        """Return text without what differs between any two runs: new ids, moments, spans of time."""
        known = set(self.tasks.values())
        new = [
            found for found in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) if found not in known
        ]
        for found in new:
            text = text.replace(found, "NEW")
        shorts = {task[-8:] for task in known}
        text = re.sub(r"\b[0-9a-f]{8}\b", lambda found: found[0] if found[0] in shorts else "SHORT", text)
        text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+Z)?", "MOMENT", text)
        text = re.sub(r"\b\d\d:\d\d:\d\d\b", "CLOCK", text)
        return re.sub(r"\b\d+ (ms|s|min)( \d+ s)?\b", "SPAN", text)


@contextmanager
def serving(home: Path, *, is_coordinating: bool = False, **settings: str) -> Iterator[dict[str, str]]:
    """Serve a store from a thread of its own; give the variables that name the server."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    named: dict[str, str] = {}
    ending = asyncio.Event()

    async def serve() -> None:
        config = load_config({"COMITY_HOME": str(home), "HOME": str(home), "COMITY_SERVER__PORT": "0", **settings})
        store = open_store(config.sections.store.url)
        await store.open()
        node = Node(config, store, {})
        await node.catalog.start()
        if is_coordinating:
            await node.coordination.start()
            await node.coordination.follower.replay()
        operators = Operators(store, node.clock, node.entropy)
        server = await server_of(node, listen(config.sections.server), operators)
        await server.start()
        named.update(COMITY_SERVER=server.url, COMITY_TOKEN=await operators.new(getpass.getuser()))
        ready.set()
        await ending.wait()
        await server.close()
        await node.close()
        await store.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield named
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(20)
        loop.close()
