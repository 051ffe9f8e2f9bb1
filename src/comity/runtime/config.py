"""The configuration of a process, and where each value came from.

A value comes from a flag, else from `COMITY_SECTION__KEY`, else from `comity.toml` (`--config`, COMITY_CONFIG,
`./comity.toml`, `~/.config/comity/comity.toml`: the first of these), else it is a default. Whatever is wrong is a
`UsageError` that names key and place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from comity.core.errors import UsageError
from comity.models.settings import ModelSettings
from comity.runtime.config_build import build, overlay_environment, overlay_flags
from comity.runtime.config_check import check
from comity.runtime.config_file import read_file
from comity.runtime.config_keys import Key, Tree, guess, shown, without_password
from comity.runtime.config_models import with_environment
from comity.runtime.config_sections import AgentSection, Sections

FILE_NAME = "comity.toml"


class Setting(NamedTuple):
    """A line of `comity config show`."""

    key: str
    value: str
    source: str


class Config(msgspec.Struct, frozen=True):
    """All settings of a process. `home` is where data lives; `file` is what was read, None where there is none."""

    sections: Sections
    home: Path
    file: Path | None
    sources: dict[Key, str]
    secrets: tuple[str, ...]
    """Values of the environment variables that hold keys, to be redacted; see `log.hide`."""

    @property
    def model_settings(self) -> ModelSettings:
        """Return what a `ModelRouter` takes."""
        return ModelSettings(self.sections.models, self.sections.model_upstreams, self.sections.prices)

    def source(self, *key: str) -> str:
        """Return where the value of a key came from: `flag`, `env NAME`, `file:line` or `default`."""
        return self.sources.get(key, "default")

    def show(self) -> list[Setting]:
        """Return every value with its source, in the order of the sections; passwords are left out."""
        lines: list[Setting] = []
        _collect(self.sections, (), self, lines)
        return [Setting("home", str(self.home), self.source("home")), *lines]

    def concurrency_of(self, key: str) -> int:
        """Return how many tasks of a concurrency key may run at a time; 0, which is no limit, for no key.

        Raises:
            UsageError: the key is not configured.
        """
        limits = self.sections.limits.concurrency
        if key and key not in limits:
            hint = guess(key, limits) if limits else f'write `concurrency = {{ "{key}" = 4 }}` under `[limits]`'
            raise UsageError("no_such_limit", f"no concurrency limit `{key}` is configured", hint=hint)
        return limits.get(key, 0)

    def make_home(self) -> Path:
        """Return the folder for data, made with access for its owner alone where it did not exist.

        Raises:
            UsageError: it cannot be made.
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            text = f"`{self.home}` cannot be made: {(error.strerror or 'unknown reason').lower()}"
            raise UsageError("no_home", text, hint="set COMITY_HOME to a folder") from None
        return self.home


def load_config(
    environment: Mapping[str, str],
    *,
    file: str = "",
    flags: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Config:
    """Read the configuration.

    Args:
        environment: the process's environment variables.
        file: what `--config` named, empty where it was not given.
        flags: values of flags by dotted key (`store.url`); None values are flags that were not given.
        folder: where relative paths begin; the current folder.

    Raises:
        UsageError: anything in it is wrong.
    """
    here = (folder or Path.cwd()).absolute()
    user_home = Path(environment["HOME"]) if environment.get("HOME") else Path.home()
    found, name = _find(environment, file, here, user_home)
    tree = read_file(found, name) if found else Tree({}, {})
    overlay_environment(Sections, tree, dict(environment))
    overlay_flags(Sections, tree, dict(flags or {}))
    sections = build(Sections, tree)
    sections = with_environment(sections, tree, environment)
    home = _home(environment, here, user_home, tree)
    sections = _completed(sections, home, _base_of(tree, found, here))
    check(sections, tree)
    names = {upstream.api_key_env for upstream in sections.model_upstreams.values()} - {""}
    names |= {name for upstream in sections.mcp_upstreams.values() for name in upstream.variables}
    secrets = tuple(sorted(environment[name] for name in names if environment.get(name)))
    return Config(sections, home, found, tree.sources, secrets)


def _find(environment: Mapping[str, str], flag: str, here: Path, user_home: Path) -> tuple[Path | None, str]:
    """Return the file to read and how to call it."""
    asked = flag or environment.get("COMITY_CONFIG", "")
    if asked:
        file = here / Path(asked).expanduser()
        if not file.is_file():
            what = "--config" if flag else "COMITY_CONFIG"
            raise UsageError("no_config", f"`{asked}`, named by {what}, is no file", hint="`comity init` writes one")
        return file, asked
    for file, name in (
        (here / FILE_NAME, FILE_NAME),
        (user_home / ".config" / "comity" / FILE_NAME, f"~/.config/comity/{FILE_NAME}"),
    ):
        if file.is_file():
            return file, name
    return None, ""


def _home(environment: Mapping[str, str], here: Path, user_home: Path, tree: Tree) -> Path:
    asked = environment.get("COMITY_HOME", "")
    if asked:
        tree.sources[("home",)] = "env COMITY_HOME"
        return here / Path(asked).expanduser()
    return user_home / ".local" / "share" / "comity"


def _base_of(tree: Tree, file: Path | None, here: Path) -> Callable[..., str]:
    """Return a function that makes a path absolute: from the file's folder where the file named it."""

    def absolute(path: str, *key: str) -> str:
        is_from_file = file is not None and not tree.source(key).startswith(("env ", "flag"))
        base = file.parent if is_from_file and file is not None else here
        return str(base / Path(path).expanduser()) if path else ""

    return absolute


def _completed(sections: Sections, home: Path, absolute: Callable[..., str]) -> Sections:
    """Return the sections with a store and with absolute paths."""
    agents: dict[str, AgentSection] = {
        name: msgspec.structs.replace(agent, file=absolute(agent.file, "agents", name, "file"))
        for name, agent in sections.agents.items()
    }
    models = dict(sections.models)
    for name, model in models.items():
        path, colon, script = model.scripted.rpartition(":")
        if colon and path:
            whole = absolute(path, "models", name, "scripted")
            models[name] = msgspec.structs.replace(model, scripted=f"{whole}:{script}")
    server = msgspec.structs.replace(
        sections.server,
        tls_cert_file=absolute(sections.server.tls_cert_file, "server", "tls_cert_file"),
        tls_key_file=absolute(sections.server.tls_key_file, "server", "tls_key_file"),
        tool_files=tuple(absolute(file, "server", "tool_files") for file in sections.server.tool_files),
    )
    store = sections.store
    if not store.url:
        store = msgspec.structs.replace(store, url=f"sqlite:///{home / 'comity.db'}")
    return msgspec.structs.replace(sections, agents=agents, models=models, server=server, store=store)


def _collect(value: Any, key: Key, config: Config, lines: list[Setting]) -> None:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _collect(getattr(value, name), (*key, name), config, lines)
    elif isinstance(value, dict):
        for name, item in value.items():
            _collect(item, (*key, name), config, lines)
    elif value is not None:
        lines.append(Setting(shown(key), _shown_value(value), config.source(*key)))


def _shown_value(value: Any) -> str:
    return msgspec.json.encode(without_password(value) if isinstance(value, str) else value).decode()
