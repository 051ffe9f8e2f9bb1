"""What the demonstration shows: headings, live lines, a question with a deadline, the table at the end."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from told import Line

WIDTH_MAX = 96
NAME_CHARS = 14
ANSWER_S = 15.0
YES = {"y", "yes", "happened"}
NO = {"n", "no", "not_happened"}


class BadAnswer(Exception):
    """`DEMO_ANSWER` is neither yes nor no."""


class Narrator:
    """Writes to standard output; each line carries the seconds since the beginning."""

    def __init__(self) -> None:
        """Begin to count the seconds."""
        width = min(Console().width, WIDTH_MAX) if sys.stdout.isatty() else WIDTH_MAX
        self._console = Console(width=width, highlight=False, markup=False, emoji=False)
        self._begin_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return how long the demonstration has run."""
        return time.monotonic() - self._begin_s

    def title(self, name: str, text: str) -> None:
        """Say what this is."""
        self._console.print(
            Panel(Text(text), title=f" {name} ", title_align="left", border_style="dim", padding=(0, 2))
        )

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def say(self, text: str, style: str = "") -> None:
        """Write a paragraph, indented."""
        self._console.print(Padding(Text(text, style=style), (0, 0, 0, 2), expand=False))

    def lines(self, lines: Iterable[Line]) -> None:
        """Write what a journal says."""
        for line in lines:
            self.line(line)

    def line(self, line: Line) -> None:
        """Write one line, cut where it is too long."""
        text = Text()
        text.append(f"{self.seconds:6.1f} s  ", "dim")
        text.append(f"{line.sign} {line.name:<{NAME_CHARS}} ", line.tone or "green")
        text.append(line.text.replace("\n", " "), "dim" if line.tone == "dim" else "")
        self._console.print(text, no_wrap=True, overflow="ellipsis")

    def killed(self, who: str, pid: int) -> None:
        """Write that something was killed."""
        self.line(Line("✗", f"kill -9 {pid}", f"the {who}", "bold red"))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write the count."""
        made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 4, 0, 2))
        for index, column in enumerate(columns):
            made.add_column(column, justify="right" if index else "left")
        for row in rows:
            name, *counts = row
            made.add_row(name, Text(counts[0], "bold green"), Text(counts[1], "yellow"))
        self._console.print(made)

    def ask(self, question: str, seen: str, *, truth: bool) -> tuple[bool, str]:
        """Ask whether something happened; return the answer and who gave it.

        `DEMO_ANSWER` answers before anybody is asked; without a terminal, or where nobody answers in time, the record.
        """
        self.say(f"{question}", "bold yellow")
        self.say(f"{seen}")
        preset = preset_answer()
        if preset is not None:
            self.say(f"DEMO_ANSWER says: {_word(answer=preset)}.")
            return preset, "DEMO_ANSWER"
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            self.say(
                f"No terminal, nobody to ask: an operator would read that record and answer {_word(answer=truth)}."
            )
            return truth, "the record"
        self._console.print(Text(f"  [yes/no, {ANSWER_S:.0f} s] ", "bold"), end="")
        end_s = time.monotonic() + ANSWER_S
        while (left_s := end_s - time.monotonic()) > 0 and select.select([sys.stdin], [], [], left_s)[0]:
            line = sys.stdin.readline()
            word = line.strip().lower()
            if word in YES | NO:
                return word in YES, "you"
            if not line:
                break
            self._console.print(Text("  yes or no? ", "bold"), end="")
        self._console.print()
        self.say(f"Nobody answered: an operator would read that record and answer {_word(answer=truth)}.")
        return truth, "the record"


def preset_answer() -> bool | None:
    """Return what `DEMO_ANSWER` says, or None where it is not set.

    Raises:
        BadAnswer: It is neither yes nor no.
    """
    word = os.environ.get("DEMO_ANSWER", "").strip().lower()
    if word and word not in YES | NO:
        raise BadAnswer(f"DEMO_ANSWER is `{word}`; say `yes` or `no`, or leave it out")
    return word in YES if word else None


def _word(*, answer: bool) -> str:
    return "yes" if answer else "no"
