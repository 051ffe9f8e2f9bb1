"""Patches of a world file: a few values set or added, with the rest of its text and its comments left as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import yaml

Key = str | int


class Edit(msgspec.Struct, frozen=True, array_like=True):
    """Set the value at `path` (mappings on the way are made), or add it to the list there (`is_item`)."""

    path: tuple[Key, ...]
    value: Any
    is_item: bool = False


def edited(plain: dict[str, Any], edits: Sequence[Edit]) -> dict[str, Any]:
    """Return plain values with edits made; what was given stays as it is."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plain))
    for edit in edits:
        here: Any = made
        for place, key in enumerate(edit.path[:-1]):
            if isinstance(here, dict) and key not in here:
                here[key] = [] if isinstance(edit.path[place + 1], int) else {}
            here = here[key]
        last = edit.path[-1]
        if edit.is_item:
            here[last] = [*(here.get(last) or ()), edit.value]
        else:
            here[last] = edit.value
    return made


def patch_text(plain: dict[str, Any], edits: Sequence[Edit]) -> str:
    """Return what changes as YAML: the edited values with the keys around them."""
    made = edited(plain, edits)
    shown: dict[str, Any] = {}
    for edit in edits:
        here: dict[Any, Any] = shown
        source: Any = made
        for key in edit.path[:-1]:
            if isinstance(key, int):
                break
            source = source[key]
            if isinstance(source, list):
                here[key] = source
                break
            here = here.setdefault(key, {})
        else:
            here[edit.path[-1]] = source[edit.path[-1]]
    return _dumped(shown)


def edited_text(text: str, edits: Sequence[Edit]) -> tuple[str, bool]:
    """Return a file's text with edits made, and whether its comments and layout were kept."""
    wanted = edited(_plain(text), edits)
    made = text
    for edit in edits:
        made = _edit_one(made, edit)
    try:
        if _plain(made) == wanted:
            return made, True
    except yaml.YAMLError:
        pass
    return _dumped(wanted), False


def _plain(text: str) -> dict[str, Any]:
    return dict(msgspec.json.decode(msgspec.json.encode(yaml.safe_load(text))))


def _dumped(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False))


def _edit_one(text: str, edit: Edit) -> str:
    """Make one edit in the text, as far down its path as the text goes; leave it where that is unclear."""
    here: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    rest = list(edit.path)
    while rest:
        found = _child(here, rest[0])
        if found is None:
            break
        here = found
        rest.pop(0)
    if not rest:
        if edit.is_item:
            return _added(text, here, edit.value)
        return text[: here.start_mark.index] + _inline(edit.value) + text[here.end_mark.index :]
    if not isinstance(here, yaml.MappingNode) or any(isinstance(key, int) for key in rest):
        return text
    value: Any = [edit.value] if edit.is_item else edit.value
    for key in reversed(rest[1:]):
        value = {key: value}
    return _with_key(text, here, str(rest[0]), value)


def _child(node: Any, key: Key) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key]
    return None


def _added(text: str, node: Any, value: Any) -> str:
    if not isinstance(node, yaml.SequenceNode):
        return text
    if node.flow_style:
        end = node.end_mark.index - 1
        return text[:end].rstrip() + (", " if node.value else "") + _inline(value) + text[end:]
    column = node.start_mark.column
    return _insert(text, _end_of(text, node), f"{' ' * column}- {_inline(value)}\n")


def _with_key(text: str, node: Any, key: str, value: Any) -> str:
    if node.flow_style:
        end = node.end_mark.index - 1
        return text[:end].rstrip() + (", " if node.value else "") + f"{_inline(key)}: {_inline(value)}" + text[end:]
    column = node.start_mark.column
    return _insert(text, _end_of(text, node), f"{' ' * column}{_inline(key)}: {_inline(value)}\n")


def _end_of(text: str, node: Any) -> int:
    """Return where the line behind a block's last value begins."""
    last = node
    while isinstance(last, yaml.MappingNode | yaml.SequenceNode) and not last.flow_style and last.value:
        last = last.value[-1][1] if isinstance(last, yaml.MappingNode) else last.value[-1]
    at: int = last.end_mark.index
    if at and text[at - 1] == "\n":
        return at
    line = text.find("\n", at)
    return len(text) if line < 0 else line + 1


def _insert(text: str, at: int, line: str) -> str:
    before = text[:at]
    return before + ("" if not before or before.endswith("\n") else "\n") + line + text[at:]


def _inline(value: Any) -> str:
    """Return a value on one line."""
    made = yaml.safe_dump(value, default_flow_style=True, width=100_000, sort_keys=False, allow_unicode=True)
    return str(made).removesuffix("\n...\n").strip()
