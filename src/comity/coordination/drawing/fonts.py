"""Which font families a machine has: resvg draws no word in a family that it does not find, and says nothing.

Source: the OpenType specification (table directory, `name` table, collections).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

FILES_MAX = 400
HEADER_BYTES_MAX = 65_536
FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
)
_KINDS = {".ttf", ".otf", ".ttc", ".otc"}


def families(paths: Iterable[str]) -> list[str]:
    """Return the families of the fonts in those folders and files, those without serifs first, by name."""
    found = {name for file in _files(paths) if (name := family_of(file))}
    return sorted(found, key=lambda name: ("sans" not in name.lower(), name))


def family_of(file: Path) -> str:
    """Return the family that a font file names, empty where it is none that can be read."""
    try:
        with file.open("rb") as stream:
            start = stream.read(16)
            offset = struct.unpack(">I", start[12:16])[0] if start[:4] == b"ttcf" else 0
            stream.seek(offset)
            head = stream.read(12)
            tables = struct.unpack(">H", head[4:6])[0]
            directory = stream.read(16 * tables)
            for place in range(0, 16 * tables, 16):
                tag, _, at, length = struct.unpack(">4sIII", directory[place : place + 16])
                if tag == b"name":
                    stream.seek(at)
                    return _named(stream.read(min(length, HEADER_BYTES_MAX)))
    except (OSError, struct.error, UnicodeDecodeError):
        return ""  # no font, or one that cannot be read: another will do
    return ""


def _named(table: bytes) -> str:
    """Return name 1 (the family) of a `name` table, in English where there is one."""
    count, strings = struct.unpack(">HH", table[2:6])
    best = ""
    for place in range(6, 6 + 12 * count, 12):
        platform, _, language, name, length, at = struct.unpack(">6H", table[place : place + 12])
        if name == 1 and platform in {0, 3}:
            text = table[strings + at : strings + at + length].decode("utf-16-be")
            best = text if language == 0x409 or not best else best
    return best


def _files(paths: Iterable[str]) -> Iterator[Path]:
    count = 0
    for path in (Path(one).expanduser() for one in paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix.lower() in _KINDS and count < FILES_MAX:
                count += 1
                yield file
