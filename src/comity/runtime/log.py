"""Structured logs on stderr: one line an event, as text or JSON, with the task that it belongs to and without secrets.

Code logs through the standard library: `logging.getLogger(__name__).info("renewed", extra={"fields": {"s": 10}})`.
Whoever learns a secret calls `hide`; from then on no line holds it, whatever message, fields or traceback contain.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

from comity.core.errors import UsageError
from comity.runtime.config_keys import guess

Format = Literal["text", "json"]
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
HIDDEN = "[hidden]"
SECRET_CHARS_MIN = 4
"""Shorter values are not hidden: they would blacken every line and protect nothing."""

_TOKEN = re.compile(r"(c[ot]_)[A-Za-z0-9_-]{40,}")
"""The tokens of operators and tasks, also inside URLs: those that were never told to `hide` too."""

_task: ContextVar[str] = ContextVar("comity_task", default="")
_hidden: set[str] = set()


@contextmanager
def task_scope(task: str) -> Iterator[None]:
    """Put the id of `task` on every line that is logged within, also by asyncio tasks that are started there."""
    token = _task.set(task)
    try:
        yield
    finally:
        _task.reset(token)


def hide(secrets: Iterable[str]) -> None:
    """Never show these values again."""
    _hidden.update(secret for secret in secrets if len(secret) >= SECRET_CHARS_MIN)


def unhide_all() -> None:
    """Forget every hidden value: for tests, which share a process."""
    _hidden.clear()


def redacted(text: str) -> str:
    """Return `text` with every hidden value and every token replaced; the longest first: one may contain another."""
    for secret in sorted(_hidden, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return _TOKEN.sub(rf"\1{HIDDEN}", text)


def set_up(level: str = "info", form: str = "text", stream: TextIO | None = None) -> None:
    """Send the logs of `comity`, and warnings of all else, to `stream` (stderr), in place of what was set up before.

    Raises:
        UsageError: no such level or format.
    """
    if level not in LEVELS:
        raise UsageError("bad_value", f"unknown log level `{level}`", hint=guess(level, LEVELS))
    formatters: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}
    if form not in formatters:
        raise UsageError("bad_value", f"unknown log format `{form}`", hint=guess(form, formatters))
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatters[form]())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(LEVELS[level], logging.WARNING))
    logging.getLogger("comity").setLevel(LEVELS[level])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `message`, `task` where there is one, the fields, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = dict(_plain(_fields(record)))
        line |= {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if task := _task.get():
            line["task"] = task
        if record.exc_info:
            line["error"] = redacted(self.formatException(record.exc_info))
        return redacted(msgspec.json.encode(line, enc_hook=str).decode())


class TextFormatter(logging.Formatter):
    """`time LEVEL logger message key=value … task=id`, and a traceback on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        words = [_moment(record), f"{record.levelname:<7}", record.name, _one_line(record.getMessage())]
        words += [f"{name}={_one_line(_word(value))}" for name, value in _fields(record).items()]
        if task := _task.get():
            words.append(f"task={task}")
        text = " ".join(words)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redacted(text)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _plain(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        is_plain = value is None or isinstance(value, bool | int | float)
        yield str(name), value if is_plain else redacted(value.hex() if isinstance(value, bytes) else str(value))


def _word(value: Any) -> str:
    text = redacted(value.hex() if isinstance(value, bytes) else str(value))
    return msgspec.json.encode(text).decode() if " " in text or not text else text


def _one_line(text: str) -> str:
    """Return `text` so that nobody can forge a line with it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
