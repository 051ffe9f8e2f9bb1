"""Questions of an agent, answered right in the terminal where the command runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

from comity.cli.screen import Screen
from comity.core.errors import UsageError
from comity.core.ids import Id
from comity.kernel.ledger import Record
from comity.runtime.account import at_hand
from comity.runtime.orders import Orders
from comity.runtime.words import one_line


class Asker:
    """Asks one question at a time on the terminal; does nothing where there is none."""

    def __init__(self, screen: Screen, orders: Orders, task: Id, on_answered: Callable[[], None]) -> None:
        """Answer in the name of `orders`; `on_answered` is called after each answer."""
        self._screen = screen
        self._orders = orders
        self._task = task
        self._on_answered = on_answered
        self._asked: Record | None = None
        self._told: set[int] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self.is_on = screen.is_talkative and sys.stdin.isatty()

    def offer(self, questions: list[Record]) -> None:
        """Ask the first open question, unless one is being asked; forget one that somebody else has answered."""
        if not self.is_on:
            return
        if self._asked is not None and all(record.seq != self._asked.seq for record in questions):
            self._forget()
            self._screen.note("")
        waiting = [record for record in questions if record.seq not in self._told]
        if self._asked is None and waiting:
            self._asked = waiting[0]
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)
            self._prompt()

    def close(self) -> None:
        """Ask no more."""
        self._forget()

    def _prompt(self) -> None:
        assert self._asked is not None, "somebody asked"
        options = self._options()
        listed = " / ".join(f"{number} {one_line(str(item), 40)}" for number, item in enumerate(options, 1))
        self._screen.stream(f"    {listed}  answer: " if listed else "    answer: ", "bold")

    def _options(self) -> list[Any]:
        given = at_hand(self._asked.args) if self._asked is not None else None
        return list(given.get("options") or ()) if isinstance(given, dict) else []

    def _read(self) -> None:
        text = os.read(sys.stdin.fileno(), 65_536).decode(errors="replace")
        if not text:
            self._screen.note("")
            self.is_on = False
            self._forget()
        elif self._asked is not None:
            answer = chosen(text.strip(), self._options())
            task = asyncio.ensure_future(self._send(self._asked, answer))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, record: Record, answer: Any) -> None:
        try:
            await self._orders.answer(self._task, record.seq, answer)
        except UsageError as error:
            self._screen.note((f"    {error.message}; {error.hint}", "yellow"))
            if error.code == "not_an_option":
                self._prompt()
                return
        self._told.add(record.seq)
        self._forget()
        self._on_answered()

    def _forget(self) -> None:
        if self._asked is not None:
            self._asked = None
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def chosen(text: str, options: list[Any]) -> Any:
    """Return the option that `text` names, in its own words or by its number from 1; else `text`."""
    for option in options:
        if str(option).lower() == text.lower():
            return option
    if options and text.isdecimal() and 1 <= int(text) <= len(options):
        return options[int(text) - 1]
    return text
