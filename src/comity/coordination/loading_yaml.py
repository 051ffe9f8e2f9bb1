"""The strict part of YAML that a world file is written in: mappings, lists and scalars, each with its line.

No anchors, aliases, merge keys, tags, directives or second documents; no key twice; bounded in size and depth. What a
plain scalar means is decided by what is expected where it stands, so that `no` is never a country turned into false.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import yaml

from comity.coordination.loading_problem import Path, Problem, cut, shown

WORLD_BYTES_MAX: Final = 2 * 1024 * 1024
WORLD_VALUES_MAX: Final = 200_000
WORLD_DEPTH_MAX: Final = 24
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PAIR: Final = re.compile(
    r"(?P<before>(?<!\\)(?:\\\\)*)\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
)


class YamlScalar(msgspec.Struct, frozen=True, gc=False):
    """Text as it stands in the file; `is_plain` where it has no quotes."""

    line: int
    text: str
    is_plain: bool


class YamlList(msgspec.Struct, frozen=True):
    """A list."""

    line: int
    items: list[YamlNode]


class YamlMap(msgspec.Struct, frozen=True):
    """A mapping, by key; each key once."""

    line: int
    items: dict[str, YamlNode]
    key_lines: dict[str, int]


YamlNode = YamlScalar | YamlList | YamlMap


class _Refused(Exception):
    """The text cannot be read on from here."""

    def __init__(self, line: int, message: str, hint: str = "", path: Path = ()) -> None:
        super().__init__(message)
        self.problem = Problem(line, shown(path), message, hint)


def read_yaml(text: str) -> tuple[YamlNode | None, list[Problem]]:
    """Return the one document of a text, or None, and what is wrong with its YAML.

    Cost: linear in the text, which is bounded.
    """
    try:
        return _read(text)
    except _Refused as error:
        return None, [error.problem]
    except yaml.YAMLError as error:
        return None, [_of_yaml(error, text)]


def _read(text: str) -> tuple[YamlNode | None, list[Problem]]:
    if len(text) > WORLD_BYTES_MAX or len(text.encode("utf-8", "replace")) > WORLD_BYTES_MAX:
        raise _Refused(1, f"the file is larger than {WORLD_BYTES_MAX:,} bytes", "describe kinds, not single resources")
    odd = _SURROGATE.search(text)
    if odd is not None:
        raise _Refused(text.count("\n", 0, odd.start()) + 1, "there is half a character", "save the file as UTF-8")
    if text.lstrip().startswith("{"):
        text = _of_json(text)
    builder = _Builder()
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        builder.take(event)
    if builder.root is None:
        builder.problems.append(Problem(1, "", "the file is empty", "begin with `version: 1` and `kinds:`"))
    return builder.root, builder.problems


def _of_yaml(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        why = ", ".join(part for part in (error.context, error.problem) if part)
        hint = "text with `: `, `#`, or that begins with `{`, `[`, `*`, `&`, `!`, `%`, `@` or a backtick needs quotes"
        lines = text.split("\n")
        if mark is not None and mark.line < len(lines) and "\t" in lines[mark.line]:
            hint = "indent with spaces, not with tabs"
        return Problem(mark.line + 1 if mark is not None else 1, "", f"it is not YAML: {cut_long(why)}", hint)
    position = getattr(error, "position", 0) or 0
    line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
    return Problem(line, "", "it has a character that no text may have", "save it as UTF-8, without control characters")


def cut_long(text: str) -> str:
    """Return a parser's message on one line."""
    return " ".join(text.split())[:300]


class _Builder:
    """Makes nodes of events, without recursion: depth is a count, not a stack of Python's."""

    def __init__(self) -> None:
        self.root: YamlNode | None = None
        self.problems: list[Problem] = []
        self._open: list[YamlList | YamlMap] = []
        self._keys: list[YamlScalar | None] = []
        self._is_value_next: list[bool] = []
        self._count = 0

    def take(self, event: Any) -> None:
        """Take the next event.

        Raises:
            _Refused: it is of a kind that ends the reading.
        """
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._begin(event, line)
        elif isinstance(event, yaml.AliasEvent):
            hint = "write the value out where it is needed"
            raise _Refused(line, f"`*{cut(event.anchor)}` is an alias, which a world file has not", hint, self._path())
        elif isinstance(event, yaml.ScalarEvent):
            self._refuse_marks(event, line)
            self._count_one(line)
            self._put(YamlScalar(line, event.value, not event.style))
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._refuse_marks(event, line)
            self._count_one(line)
            is_list = isinstance(event, yaml.SequenceStartEvent)
            node: YamlList | YamlMap = YamlList(line, []) if is_list else YamlMap(line, {}, {})
            self._put(node)
            self._open.append(node)
            self._keys.append(None)
            self._is_value_next.append(False)
            if len(self._open) > WORLD_DEPTH_MAX:
                raise _Refused(line, f"it is nested more than {WORLD_DEPTH_MAX} deep", "", self._path()[:6])
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._open.pop()
            self._keys.pop()
            self._is_value_next.pop()

    def _begin(self, event: Any, line: int) -> None:
        if self.root is not None:
            raise _Refused(line, "there is a second document", "write one world in one file, without another `---`")
        if event.version or event.tags:
            raise _Refused(line, "it has a `%` directive, which a world file has not", "leave the line out")

    def _refuse_marks(self, event: Any, line: int) -> None:
        if event.anchor is not None:
            hint = "leave it out, and write the value where it is needed"
            raise _Refused(line, f"`&{cut(event.anchor)}` is an anchor, which a world file has not", hint, self._path())
        if event.tag is not None:
            hint = 'leave the tag out; text that looks like a number goes in quotes: `"12"`'
            raise _Refused(line, f"`{cut(event.tag)}` is a tag, which a world file has not", hint, self._path())

    def _count_one(self, line: int) -> None:
        self._count += 1
        if self._count > WORLD_VALUES_MAX:
            raise _Refused(line, f"it has more than {WORLD_VALUES_MAX:,} values", "describe kinds, not resources")

    def _put(self, node: YamlNode) -> None:
        if not self._open:
            self.root = node
            return
        there = self._open[-1]
        if isinstance(there, YamlList):
            there.items.append(node)
            return
        key = self._keys[-1]
        if key is None or not self._is_value_next[-1]:
            self._keys[-1] = self._key(node)
            self._is_value_next[-1] = True
            return
        self._is_value_next[-1] = False
        if key.text in there.items:
            first = there.key_lines[key.text]
            path = shown(self._path())
            hint = "keep one of the two"
            self.problems.append(
                Problem(key.line, path, f"the key stands here a second time, after line {first}", hint)
            )
            return
        there.items[key.text] = node
        there.key_lines[key.text] = key.line

    def _key(self, node: YamlNode) -> YamlScalar:
        if not isinstance(node, YamlScalar):
            raise _Refused(
                node.line, "a list or a mapping is no key", "text with `{` or `[` needs quotes", self._path()
            )
        if node.is_plain and node.text == "<<":
            raise _Refused(
                node.line, "`<<` merges mappings, which a world file does not", "write the keys out", self._path()
            )
        if not node.text.strip():
            raise _Refused(node.line, "a key is empty", "give it a name", self._path())
        return node

    def _path(self) -> Path:
        return tuple(self._steps())

    def _steps(self) -> Iterator[str | int]:
        for node, key in zip(self._open, self._keys, strict=True):
            if isinstance(node, YamlList):
                yield max(len(node.items) - 1, 0)
            elif key is not None:
                yield key.text


def _of_json(text: str) -> str:
    """Return JSON as YAML, which takes no tabs (JSON has none within text) and no characters escaped in halves."""
    return _PAIR.sub(_joined, text.replace("\t", " "))


def _joined(found: re.Match[str]) -> str:
    high, low = int(found["high"], 16), int(found["low"], 16)
    return found["before"] + chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
