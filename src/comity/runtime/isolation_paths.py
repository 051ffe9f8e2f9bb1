"""Which paths are Comity's own: state, configuration, keys and code, that no brain and no program may come by."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import comity
from comity.core.errors import UsageError
from comity.runtime.config import Config
from comity.runtime.isolation import Isolation, is_within

_SQLITE = "sqlite:///"
_BESIDE_A_STORE = ("", "-wal", "-shm", "-journal")


def of_brains(config: Config, environment: Mapping[str, str]) -> Isolation:
    """Return the isolation of a node's own brains: no network; of files, they change temporary ones alone."""
    return Isolation(
        hidden=(*_state(config, environment), *_configuration(config, environment)),
        fixed=_code(config),
        changeable=tuple({_real(folder) for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp")}),  # noqa: S108
    )


def of_program(config: Config, environment: Mapping[str, str], folder: Path) -> Isolation:
    """Return the isolation of a program that works in `folder`, with no port yet.

    It may do with files what its user may, but for Comity's own. A configuration and code in its folder are left to
    it: there is no way to close these alone, and no secret is in them.

    Raises:
        UsageError: Comity's state lies in `folder`.
    """
    here = _real(folder)
    hidden = tuple(_state(config, environment))
    exposed = next((path for path in hidden if is_within(path, here)), None)
    if exposed is not None:
        raise UsageError(
            "state_in_reach",
            f"`{exposed}` lies in the working folder `{here}`, all of which the program may read",
            hint="start it in a folder of its own, or set COMITY_HOME (and `store.url`) to a folder elsewhere",
        )
    files = (path for path in _configuration(config, environment) if not is_within(path, here))
    return Isolation(
        hidden=(*hidden, *files),
        fixed=tuple(path for path in _code(config) if not is_within(path, here) and not is_within(here, path)),
        changeable=("/", here),
        ports=(),
    )


def _state(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield where state and keys lie: this Comity's, and its user's where COMITY_HOME is another."""
    yield _real(config.home)
    users = _user_home(environment) / ".local" / "share" / "comity"
    if users.exists():
        yield _real(users)
    url = config.sections.store.url
    if url.startswith(_SQLITE):
        yield from (_real(url.removeprefix(_SQLITE)) + end for end in _BESIDE_A_STORE)
    else:
        yield _real(environment.get("PGPASSFILE") or _user_home(environment) / ".pgpass")
    if config.sections.server.tls_key_file:
        yield _real(config.sections.server.tls_key_file)


def _configuration(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the file that was read, and the one in the user's home, which is not to be made either."""
    if config.file is not None:
        yield _real(config.file)
    yield _real(_user_home(environment) / ".config" / "comity")


def _code(config: Config) -> tuple[str, ...]:
    """Return what a node runs: Comity, its interpreter with all libraries, agent files and tool files."""
    prefixes = {_real(folder) for folder in (Path(comity.__file__).parent, sys.prefix, sys.base_prefix)} - {"/usr"}
    files = {agent.file for agent in config.sections.agents.values()} | set(config.sections.server.tool_files)
    return (*prefixes, *(_real(file) for file in files if file))


def _user_home(environment: Mapping[str, str]) -> Path:
    return Path(environment["HOME"]) if environment.get("HOME") else Path.home()


def _real(path: str | Path) -> str:
    return os.path.realpath(path)
