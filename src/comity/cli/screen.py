"""The screen: answers on stdout, all else on stderr; people get calm text, programs one JSON document."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDTH_PIPED = 200
"""How wide tables may be where nobody looks at them in a terminal."""

STATE_STYLE: dict[str, str] = {
    "queued": "dim",
    "running": "cyan",
    "waiting": "blue",
    "parked": "yellow",
    "cancelling": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "dim",
}
"""How the state of a task is shown."""

Piece = str | tuple[str, str]
"""Text, or text with a style."""


class Screen:
    """Where a command writes."""

    def __init__(self, *, is_json: bool = False, is_quiet: bool = False) -> None:
        """Write JSON, or text; quietly, the answer alone."""
        self.is_json = is_json
        self.is_quiet = is_quiet
        self._consoles: dict[bool, Console] = {}

    @property
    def is_talkative(self) -> bool:
        """Tell whether notes and progress are wanted."""
        return not (self.is_quiet or self.is_json)

    def document(self, value: Any) -> None:
        """Write the one JSON document of a command."""
        import msgspec

        data = msgspec.json.format(msgspec.json.encode(value), indent=2)
        sys.stdout.write(data.decode() + "\n")

    def document_line(self, value: Any) -> None:
        """Write one JSON document of a stream on a line of its own."""
        import msgspec

        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
        sys.stdout.flush()

    def answer(self, *pieces: Piece) -> None:
        """Write a line of the answer, whether quiet or not."""
        self._print(False, pieces)

    def say(self, *pieces: Piece) -> None:
        """Write a line of the answer that the quiet do without."""
        if self.is_talkative:
            self._print(False, pieces)

    def note(self, *pieces: Piece) -> None:
        """Write a line beside the answer, on stderr."""
        if self.is_talkative:
            self._print(True, pieces)

    def warn(self, text: str) -> None:
        """Write a warning on stderr."""
        self._print(True, (("warning: ", "yellow"), text))

    def stream(self, text: str, style: str = "") -> None:
        """Write a piece of a line on stderr."""
        self.console(True).print(assembled(((text, style),)), end="", soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Piece]], *, last_folds: bool = False) -> None:
        """Write a table; columns whose name begins with `>` stand to the right. The last is cut, or folds."""
        from rich.table import Table

        made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for index, name in enumerate(columns):
            is_last = index == len(columns) - 1
            overflow = "fold" if last_folds and is_last else "ellipsis"
            justify = "right" if name.startswith(">") else "left"
            made.add_column(name.lstrip(">"), justify=justify, no_wrap=not (is_last and last_folds), overflow=overflow)  # type: ignore[arg-type]
        for row in rows:
            made.add_row(*(assembled((piece,)) for piece in row))
        self.console(False).print(made)

    def facts(self, rows: Iterable[tuple[str, Piece | list[Piece]]]) -> None:
        """Write names with their values below each other; empty values are left out."""
        found = [(name, value if isinstance(value, list) else [value]) for name, value in rows if value]
        width = max((len(name) for name, _ in found), default=0)
        for name, pieces in found:
            self._print(False, ((f"{name:<{width}}  ", "dim"), *pieces))

    def console(self, is_error: bool) -> Console:  # noqa: FBT001 - stdout or stderr
        """Return the console of stdout or stderr, made on first use."""
        if is_error not in self._consoles:
            from rich.console import Console

            stream = sys.stderr if is_error else sys.stdout
            width = None if stream.isatty() else WIDTH_PIPED
            self._consoles[is_error] = Console(file=stream, highlight=False, markup=False, emoji=False, width=width)
        return self._consoles[is_error]

    def _print(self, is_error: bool, pieces: Sequence[Piece]) -> None:  # noqa: FBT001 - stdout or stderr
        self.console(is_error).print(assembled(pieces), soft_wrap=True)


def assembled(pieces: Sequence[Piece]) -> Text:
    """Return pieces as one styled text that holds no control characters."""
    from rich.text import Text

    from comity.runtime.words import clean

    text = Text()
    for piece in pieces:
        words, style = piece if isinstance(piece, tuple) else (piece, "")
        text.append(clean(words), style or None)
    return text
