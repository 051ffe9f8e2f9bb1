"""Rows of a store as values of the journal, and segments as they lie in a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zstandard

from comity.core.ids import Id
from comity.journal.entry import Entry
from comity.journal.task import State, TaskRow
from comity.journal.unit import Message, Wakes
from comity.stores.codes import kind_of, phase_of

TASK_COLUMNS = ", ".join(f"t.{name}" for name in TaskRow.__struct_fields__)
"""The columns of a `TaskRow`, in its order, of a table that is called `t`."""

_STATE_AT = TaskRow.__struct_fields__.index("state")
_STATES = {state.value: state for state in State}
_COMPRESS_FROM_BYTES = 512
_COMPRESSOR = zstandard.ZstdCompressor(level=3)


def task_row(values: Sequence[Any]) -> TaskRow:
    """Return the row that `TASK_COLUMNS` selected."""
    fields = list(values)
    fields[_STATE_AT] = _STATES[fields[_STATE_AT]]
    return TaskRow(*fields)


def entry_of(values: Sequence[Any]) -> Entry:
    """Return the entry of (seq, branch, kind, phase, at_us, body)."""
    seq, branch, kind, phase, at_us, body = values
    return Entry(seq, branch, kind_of(kind), phase_of(phase), at_us, body)


def message_of(task: Id, values: Sequence[Any]) -> Message:
    """Return the message of (sender, kind, name, value, wakes, at_us, id)."""
    sender, kind, name, value, wakes, at_us, number = values
    return Message(task, sender, kind, name, value, Wakes(wakes), at_us, number)


def squeeze(data: bytes) -> tuple[int, bytes]:
    """Return a segment's codec and bytes: zstd where that saves a tenth, else as it is."""
    if len(data) >= _COMPRESS_FROM_BYTES:
        small = _COMPRESSOR.compress(data)
        if len(small) < len(data) * 0.9:
            return 1, small
    return 0, data


def unsqueeze(codec: int, data: bytes) -> bytes:
    """Return a segment's content."""
    return zstandard.ZstdDecompressor().decompress(data) if codec else data
