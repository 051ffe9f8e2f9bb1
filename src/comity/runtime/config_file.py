"""The file `comity.toml`: read it, know the line of each key, and refuse secrets in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comity.core.errors import UsageError
from comity.runtime.config_keys import Key, Tree, shown, without_password

_SECRET_NAME = re.compile(r"(^|_)(api_?key|key|token|secret|password|passwd|credential)s?$", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"(?<![A-Za-z0-9])(sk-|ghp_|github_pat_|glpat-|xox[abp]-|AKIA|AIza|hf_|eyJ)[A-Za-z0-9_.-]{16,}"
)
_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def read_file(file: Path, name: str) -> Tree:
    """Return what `file` says; `name` is how it is called in messages.

    Raises:
        UsageError: it cannot be read, is no TOML, or holds what looks like a secret.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise UsageError(
            "config_unreadable", f"`{name}` cannot be read: {why}", hint="name a file that exists"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            "config_unreadable", f"`{name}` is not UTF-8: byte {error.start}", hint="save it as UTF-8"
        ) from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(name, text, str(error)) from None
    lines = line_numbers(text)
    tree = Tree({}, {})
    for key, value in leaves(values):
        source = f"{name}:{_line_of(lines, key)}"
        refuse_secret(key, value, source)
        tree.sources[key] = source
    tree.values = values
    return tree


def leaves(table: dict[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Yield every value that is no table, and every table that is empty."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


def line_numbers(text: str) -> dict[Key, int]:
    """Return the line, from 1, on which each key and each table of a valid TOML text stands first.

    Statements are found by parsing: a line that is no TOML by itself begins a value of several lines.
    """
    found: dict[Key, int] = {}
    table: Key = ()
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        start, statement = index, lines[index]
        index += 1
        values = _parsed(statement)
        while values is None and index < len(lines):
            statement += "\n" + lines[index]
            index += 1
            values = _parsed(statement)
        is_header = statement.lstrip().startswith("[")
        paths = list(_paths(values or {}))
        if is_header and paths:
            table = max(paths, key=len)
        for path in paths:
            key = path if is_header else (*table, *path)
            found.setdefault(key, start + 1)
    return found


def refuse_secret(key: Key, value: Any, source: str) -> None:
    """Refuse a value that looks like a credential; the message never holds it."""
    name = key[-1].replace("-", "_")
    if isinstance(value, list):
        for item in value:
            refuse_secret(key, item, source)
    if not isinstance(value, str):
        return
    if name.endswith("_env") or "headers_env" in key:
        if (value and not _VARIABLE.fullmatch(value)) or _SECRET_VALUE.search(value):
            raise _secret(key, source, "must name an environment variable, and does not look like one")
        return
    if _SECRET_NAME.search(name):
        raise _secret(key, source, "looks like a secret, which does not belong into a file")
    if _SECRET_VALUE.search(value):
        raise _secret(key, source, "holds what looks like a key, which does not belong into a file")
    if without_password(value) != value:
        raise _secret(key, source, "holds a password, which does not belong into a file")


def _secret(key: Key, source: str, why: str) -> UsageError:
    hint = 'keep it in the environment, and name the variable here: `api_key_env = "NAME"`'
    if key == ("store", "url"):
        hint = "leave it out and set PGPASSWORD, or set COMITY_STORE__URL in the environment"
    return UsageError("secret_in_config", f"`{shown(key)}` {why} ({source})", hint=hint)


def _not_toml(name: str, text: str, message: str) -> UsageError:
    at = _LINE.search(message)
    line = at.group(1) if at else str(text.count("\n") + 1)
    why = _LINE.sub("", message).replace("(at end of document)", "at the end").strip()
    hint = "text needs quotes; `comity init` writes an example"
    return UsageError("bad_toml", f"`{name}:{line}` is not TOML: {why[:1].lower()}{why[1:]}", hint=hint)


def _parsed(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _paths(table: dict[str, Any], above: Key = ()) -> Iterator[Key]:
    for name, value in table.items():
        path = (*above, name)
        yield path
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(inner, dict):
            yield from _paths(inner, path)


def _line_of(lines: dict[Key, int], key: Key) -> int:
    return next((lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines), 1)
