"""Following a task to its end, as its node or beside it, with Ctrl-C at any moment and nothing lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from comity.cli.app import App
from comity.cli.asking import Asker
from comity.cli.exits import Exit, exit_for
from comity.cli.follow import Bell, Follower
from comity.cli.live import Live
from comity.cli.next_steps import next_steps, way_on
from comity.cli.screen import STATE_STYLE
from comity.cli.task_page import used_by, write_steps
from comity.core.errors import StoreError
from comity.core.ids import Id, show_id
from comity.journal.call import Kind
from comity.journal.entry import Entry
from comity.journal.ports import Store
from comity.journal.task import State, TaskRow
from comity.kernel.ledger import Ledger
from comity.runtime.account import at_hand
from comity.runtime.nodes import nodes_up
from comity.runtime.words import cost, one_line, preview, short, span, us_of
from comity.server.documents import AccountDocument
from comity.server.task_operations import read_document

if TYPE_CHECKING:
    from comity.runtime.node import Node

LOOKS_BETWEEN_NODES = 20
"""How many looks at the task pass between two looks at whether a node is up."""


class Following:
    """One task, watched by this command; `node` is this process's own, None where another does the work."""

    def __init__(self, app: App, store: Store, task: Id, live: Live, node: Node | None = None) -> None:
        """Follow `task`."""
        self._app = app
        self._store = store
        self._task = task
        self._live = live
        self._node = node
        self._bell = Bell(store)
        self._ledger = Ledger(task)
        self._orders = app.orders_on(store)
        self._asker = Asker(app.screen, self._orders, task, self._bell.ring)
        live.watch(task, self._bell.ring)
        self._is_interrupted = False
        self._looks = 0
        self._is_alone = False

    async def to_the_end(self) -> int | None:
        """Write what happens until the task has ended, is parked or is left; return the exit code.

        None says that the node which did the work is gone, and that nobody has told the user.

        Raises:
            StoreError: this process's node lost its lease.
        """
        screen = self._app.screen
        with self._signals():
            if self._node is not None:
                await self._node.start()
            try:
                row = await self._follow()
            finally:
                self._asker.close()
                self._bell.close()
            if self._node is not None:
                if self._is_interrupted:
                    screen.note(("gives the task back; what is being performed may end. Ctrl-C again quits", "dim"))
                await self._node.drain()
                row = await self._orders.row(self._task)
        if self._is_alone and not row.state.ended:
            return None
        is_left = self._is_interrupted and not row.state.ended
        code = Exit.INTERRUPTED if is_left else exit_for(row)
        self._tell(await read_document(self._store, self._orders, row), code)
        return code

    async def _follow(self) -> TaskRow:
        follower = Follower(self._store, self._task)
        row = await self._orders.row(self._task)
        goal = one_line(row.goal, 200)
        if not self._live.seen_seq:
            self._app.screen.note(("task ", "dim"), (short(self._task), "bold"), f"  {row.agent}: ", (goal, "dim"))
        while True:
            row = await self._orders.row(self._task)
            for item in await follower.more():
                self._ledger.apply(item, item.read())
                self._live.entry(item)
                self._tell_how(item)
            self._live.catch_up()
            if row.state.ended or row.state is State.PARKED or self._is_interrupted or self._is_alone:
                return row
            self._asker.offer([record for record in self._ledger.open_calls() if record.key.kind == Kind.HUMAN])
            await self._look_for_node()
            await self._bell.wait()

    def _tell_how(self, item: Entry) -> None:
        """Say how a question is answered and a signal sent, to whoever cannot answer right here."""
        if item.phase != "waiting" or (item.kind == Kind.HUMAN and self._asker.is_on):
            return
        record = self._ledger.calls.get(item.seq)
        if record is None or not record.open:
            return
        step = way_on(record.key.kind, record.key.name, at_hand(record.args), short(self._task))
        if step is not None:
            self._app.screen.note("      ", (step[0], "bold"))

    async def _look_for_node(self) -> None:
        """Note where the node that did the work is gone."""
        self._looks += 1
        if self._node is not None:
            if self._node.kernel.lease.is_lost:
                raise lease_lost()
        elif self._looks % LOOKS_BETWEEN_NODES == 0:
            self._is_alone = not await nodes_up(self._store)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._interrupt)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _interrupt(self) -> None:
        if self._is_interrupted:
            os._exit(Exit.INTERRUPTED)  # brains and hands end with this process
        self._is_interrupted = True
        self._app.screen.note("")
        self._bell.ring()

    def _tell(self, account: AccountDocument, code: int) -> None:
        screen, steps = self._app.screen, next_steps(account)
        if screen.is_json:
            commands = [{"command": line, "does": text} for line, text in steps]
            screen.document({**asdict(account), "next": commands, "exit_code": int(code)})
            return
        took_us = us_of(account.updated_at) - us_of(account.created_at)
        aside = ", ".join(word for word in (span(took_us / 1e6), cost(used_by(account.used))) if word)
        state = f"{account.state}: {account.reason}" if account.reason and not account.state.ended else account.state
        style = STATE_STYLE[account.state]
        screen.note((state, "bold" if style == "dim" else f"bold {style}"), (f"  {aside}", "dim"))
        if account.error is not None:
            screen.note((account.error.message or account.error.code, "red"))
        if account.state is State.SUCCEEDED and account.result is not None:
            result = account.result
            screen.answer(result if isinstance(result, str) else preview(result, 1_000_000))
        write_steps(screen, steps, is_aside=True)


def lease_lost() -> StoreError:
    """Return the error of a node that may do nothing any more."""
    return StoreError(
        "lease_lost",
        "another process declared this node dead, so it ended itself",
        hint="it was silent for longer than `node.lease_s`; start it again, its tasks go on",
    )


async def tell_detached(app: App, store: Store, task: Id) -> int:
    """Print the id of a task that nobody follows here."""
    has_node = bool(await nodes_up(store))
    if app.is_json:
        app.screen.document({"task": show_id(task), "has_node": has_node})
        return Exit.OK
    app.screen.answer(show_id(task))
    if not has_node:
        app.screen.note((f"no node is up: `comity up` or `comity run --task {short(task)}` works on it", "dim"))
    return Exit.OK
