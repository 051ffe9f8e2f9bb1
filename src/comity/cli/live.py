"""A task as it runs, in a terminal: calls as they are made and settle, the model's words as they come."""

from __future__ import annotations

from collections.abc import Callable

from comity.cli.lines import Line, Teller
from comity.cli.screen import Screen
from comity.cli.task_page import said
from comity.core.ids import Id
from comity.journal.call import Permit
from comity.journal.entry import Created, Ended, Entry, Intent, Outcome, Progressed
from comity.runtime.node import LogListener
from comity.server.documents import entry_document

LEAD = "  "


class Live(LogListener):
    """Writes one task's life on stderr; it is also the node's listener, where the node is in this process."""

    def __init__(self, screen: Screen, *, has_stream: bool, seen_seq: int = 0) -> None:
        """Write to `screen` what comes after entry `seen_seq`.

        With `has_stream`, progress and words come from the node and not from the journal.
        """
        self.seen_seq = seen_seq
        self._screen = screen
        self._has_stream = has_stream
        self._task: Id = b""
        self._ring: Callable[[], None] = lambda: None
        self._heard: list[Callable[[], None]] = []
        self._teller = Teller()
        self._streaming: tuple[int, int] | None = None
        self._streamed: set[int] = set()

    def watch(self, task: Id, ring: Callable[[], None]) -> None:
        """Write of this task alone; `ring` is called when there is something for `catch_up`."""
        self._task = task
        self._ring = ring

    def catch_up(self) -> None:
        """Write what the node said meanwhile: it comes after the entries that were committed before it."""
        heard, self._heard = self._heard, []
        for write in heard:
            write()

    # What the journal says

    def entry(self, item: Entry) -> None:
        """Write an entry, unless it was seen as it happened or is of no interest."""
        line = self._teller.tell(entry_document(item))
        body = item.read()
        if item.seq <= self.seen_seq:
            return
        self.seen_seq = item.seq
        if line.is_minor or isinstance(body, Created | Ended) or (self._has_stream and isinstance(body, Progressed)):
            return
        if isinstance(body, Intent) and item.kind == "model" and self._has_stream:
            return
        if isinstance(body, Outcome) and body.call in self._streamed:
            self._end_stream(line.aside)
            if line.style == "green":
                return
        self.line(line)

    def line(self, line: Line) -> None:
        """Write a line of the journal."""
        self._end_stream()
        branch = f"[{line.branch}] " if line.branch else ""
        self._screen.note(LEAD, (f"{line.mark} ", line.style), (branch, "dim"), *said(line))

    # What the node says while it happens

    def progress(self, task: Id, text: str, fraction: float | None) -> None:
        """Write a word of progress."""
        if task == self._task:
            part = "" if fraction is None else f" {fraction:.0%}"
            self._hear(lambda: self._screen.note(LEAD, ("· ", "dim"), text, (part, "dim")))

    def printed(self, who: str, text: str) -> None:
        """Write what the agent's own code printed."""
        self._hear(lambda: self._screen.note(LEAD, (f"| {text}", "dim")))

    def delta(self, task: Id, permit: Permit, text: str) -> None:
        """Write what a model says."""
        if task == self._task and text and self._screen.is_talkative:
            self._heard.append(lambda: self._stream((permit.call, permit.attempt), text))
            self._ring()

    def _hear(self, write: Callable[[], None]) -> None:
        def alone() -> None:
            self._end_stream()
            write()

        self._heard.append(alone)
        self._ring()

    def _stream(self, attempt: tuple[int, int], text: str) -> None:
        if self._streaming != attempt:
            self._end_stream()
            self._streaming = attempt
            self._streamed.add(attempt[0])
            self._screen.stream(f"{LEAD}“ ", "cyan")
        self._screen.stream(text.replace("\n", f"\n{LEAD}  "))

    def _end_stream(self, aside: str = "") -> None:
        if self._streaming is not None:
            self._streaming = None
            self._screen.stream(f"  {aside}\n" if aside else "\n", "dim")
