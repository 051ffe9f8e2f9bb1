"""What a watcher is sent: a journal's entries, words that pass, and an end; as a block of a stream or as JSON.

An entry's `id` is its place (its number in a task's journal, its position in the log of all tasks): whoever lost the
connection goes on from there. What has no id is told once and never again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from comity.core.errors import JournalError
from comity.core.ids import show_id
from comity.journal.entry import Ended, Entry, Logged
from comity.journal.task import TaskRow
from comity.runtime.words import iso
from comity.server.documents import EntryDocument, TaskDocument, Uuid, entry_document, task_document

SEEN_THE_END = b".end"
_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class LoggedDocument(EntryDocument, frozen=True):
    """An entry as it stands in the log of all tasks."""

    position: int
    task: Uuid


class LiveDocument(msgspec.Struct, frozen=True):
    """What happens between entries: a word of progress, or a piece of what a model says (`delta`) for a call."""

    type: Literal["progress", "delta"]
    text: str
    fraction: float | None = None
    call: int | None = None
    attempt: int | None = None


class EntryEvent(msgspec.Struct, frozen=True, tag_field="event", tag="entry"):
    """An entry of the journal that is watched."""

    id: int
    data: EntryDocument


class LoggedEvent(msgspec.Struct, frozen=True, tag_field="event", tag="entry"):
    """An entry of the log of all tasks."""

    id: int
    data: LoggedDocument


class LiveEvent(msgspec.Struct, frozen=True, tag_field="event", tag="live"):
    """Something that passes: it is in no journal, and nobody is told of it later."""

    data: LiveDocument
    id: None = None


class EndEvent(msgspec.Struct, frozen=True, tag_field="event", tag="end"):
    """The task has ended, and all of its entries were told."""

    data: TaskDocument
    id: None = None


class PageDocument(msgspec.Struct, frozen=True):
    """Events of a task; `from` is where the next page begins."""

    events: list[EntryEvent | EndEvent]
    from_: int = msgspec.field(name="from")


class LoggedPageDocument(msgspec.Struct, frozen=True):
    """Events of the log of all tasks; `from` is where the next page begins."""

    events: list[LoggedEvent]
    from_: int = msgspec.field(name="from")


class Event:
    """One event for all who watch it. Its spellings are made when they are first asked for.

    `number` is its place, None for what passes; `is_last` says that a task's journal may be over with it.
    """

    __slots__ = ("_json", "_stream", "document", "is_last", "number")

    def __init__(self, document: EntryEvent | LoggedEvent | LiveEvent | EndEvent, *, is_last: bool = False) -> None:
        """Hold `document`."""
        self.document = document
        self.number = document.id
        self.is_last = is_last
        self._json = b""
        self._stream = b""

    @property
    def json(self) -> bytes:
        """Return it as one JSON object."""
        self._json = self._json or _encode(self.document)
        return self._json

    @property
    def stream(self) -> bytes:
        """Return it as a block of an event stream."""
        if not self._stream:
            name = type(self.document).__struct_config__.tag
            block = b"event: %s\ndata: %s\n\n" % (str(name).encode(), _encode(self.document.data))
            self._stream = b"id: %s\n%s" % (self._place(), block) if self._place() else block
        return self._stream

    def _place(self) -> bytes:
        """Return what a client that reconnects by itself sends back: after an end, that it has seen it."""
        if isinstance(self.document, EndEvent):
            return b"%d%s" % (self.document.data.last_seq, SEEN_THE_END)
        return b"" if self.number is None else b"%d" % self.number


def of_entry(item: Entry) -> Event:
    """Return the event of a task's entry."""
    document = EntryEvent(item.seq, _readable(item))
    return Event(document, is_last=document.data.type == Ended.__name__.lower())


def of_logged(item: Logged) -> Event:
    """Return the event of an entry in the log."""
    fields = msgspec.structs.asdict(_readable(item.entry))
    document = LoggedDocument(**fields, position=item.position, task=show_id(item.task))
    return Event(LoggedEvent(item.position, document))


def of_end(row: TaskRow) -> Event:
    """Return the event of a task's end."""
    return Event(EndEvent(task_document(row)), is_last=True)


def _readable(item: Entry) -> EntryDocument:
    """Return an entry's document; one that cannot be read says so and holds nobody up."""
    try:
        return entry_document(item)
    except JournalError as error:
        body = {"code": error.code, "error": error.message, "hint": error.hint}
        return EntryDocument(item.seq, item.branch, item.kind, item.phase, iso(item.at_us), "unreadable", body)
