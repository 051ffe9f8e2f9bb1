"""What agent code prints reaches the log in lines, at a pace that the node sets."""

from __future__ import annotations

import os

from comity.runtime.output import CHUNK_BYTES, LINE_CHARS_MAX, LINES_MAX, Output
from comity.testing.waiting import wait_until


class Printer:
    """The writing end of a captured output, and the lines that came out."""

    def __init__(self) -> None:
        read_end, self.fd = os.pipe()
        self.lines: list[str] = []
        self.output = Output(read_end, "brain", lambda who, line: self.lines.append(line))

    def close(self) -> None:
        os.close(self.fd)
        self.output.close()


async def test_lines_are_told_whole_however_they_were_written() -> None:
    printer = Printer()
    os.write(printer.fd, b"one\ntw")
    await wait_until(lambda: printer.lines)
    os.write(printer.fd, b"o\nthree")
    await wait_until(lambda: len(printer.lines) == 2)
    printer.close()
    assert printer.lines == ["one", "two", "three"]


async def test_a_line_without_end_is_cut() -> None:
    printer = Printer()
    os.write(printer.fd, b"x" * CHUNK_BYTES)
    await wait_until(lambda: printer.output._rest)
    os.write(printer.fd, b"y\n")
    await wait_until(lambda: printer.lines)
    printer.close()
    assert printer.lines == ["x" * LINE_CHARS_MAX]


async def test_a_flood_of_lines_is_counted_not_told() -> None:
    printer = Printer()
    os.write(printer.fd, b"\n" * 1_000)
    await wait_until(lambda: printer.lines)
    printer.close()
    assert len(printer.lines) == LINES_MAX + 1
    assert printer.lines[-1] == f"… {1_000 - LINES_MAX} lines left out"


async def test_bytes_that_are_no_text_and_escapes_are_harmless() -> None:
    printer = Printer()
    os.write(printer.fd, b"\xff\x1b]0;title\x07 caf\xc3\xa9\n")
    await wait_until(lambda: printer.lines)
    printer.close()
    assert printer.lines == ["�\\x1b]0;title\\x07 café"]
