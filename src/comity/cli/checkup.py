"""What `comity doctor` looks at: each check is one sentence with a mark, and a way out where something is not well."""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from comity.core.clock import SystemClock
from comity.core.errors import ComityError
from comity.journal.ports import Store
from comity.journal.spec import Program
from comity.runtime import isolation
from comity.runtime.config import Config
from comity.runtime.nodes import nodes_up
from comity.runtime.orders import Orders
from comity.runtime.programs import StoredPrograms
from comity.runtime.words import number, short, span

Mark = Literal["ok", "note", "warning", "error"]
SKEW_S_MAX = 1.0
"""How far the store's clock may be from this machine's before a person should know."""
_REMOTE_FILES = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs", "ceph", "lustre"})


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    mark: Mark
    text: str
    hint: str = ""


def machine(config: Config) -> Iterator[Check]:
    """Look at this machine: Python, system, home, models' keys."""
    import apsw

    yield Check("python", "ok", platform.python_version())
    yield Check("sqlite", "ok", apsw.sqlite_lib_version())
    if sys.platform == "linux":
        yield Check("system", "ok", platform.platform())
    elif sys.platform == "darwin":
        yield Check("system", "warning", "macOS has no sandbox levels", "run where tools must be confined on Linux")
    else:
        yield Check("system", "error", f"`{sys.platform}` is not supported", "use Linux, macOS, or WSL on Windows")
    yield Check("config", "ok", str(config.file) if config.file else "no comity.toml: every setting is a default")
    yield _home(config.home)
    yield _isolation()
    for name, upstream in config.sections.model_upstreams.items():
        if upstream.api_key_env and not os.environ.get(upstream.api_key_env):
            text = f"upstream `{name}`: `{upstream.api_key_env}` is not set here"
            yield Check("models", "warning", text, "set it where the node runs")
    for name, server in config.sections.mcp_upstreams.items():
        for variable in server.variables:
            if not os.environ.get(variable):
                text = f"upstream `{name}`: `{variable}` is not set here"
                yield Check("tools", "warning", text, "set it where the node runs")
    names = ", ".join(sorted(config.sections.models))
    hint = "" if names else "set OPENAI_API_KEY, or write `[models.default]`"
    yield Check("models", "ok" if names else "note", names or "none is configured", hint)


async def durability(url: str) -> AsyncIterator[Check]:
    """Look at schema and settings of the store."""
    from comity.stores import maintenance

    pending = await maintenance.preview(url)
    if pending:
        names = ", ".join(item.name for item in pending)
        yield Check("schema", "error", f"not applied yet: {names}", "make a backup, then run `comity store migrate`")
    else:
        yield Check("schema", "ok", "is this version's")
    if url.startswith("sqlite"):
        for check in _sqlite(url):
            yield check
    else:
        async for check in _postgres(url):
            yield check


async def store_at_work(store: Store, orders: Orders) -> AsyncIterator[Check]:
    """Look at what the store holds: its clock, nodes, agents, stops."""
    skew_s = (await store.now_us() - SystemClock().wall_us()) / 1e6
    text = f"the store's clock is {span(abs(skew_s))} {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) > SKEW_S_MAX:
        yield Check("clock", "warning", text, "set both machines by NTP; leases go by the store's clock")
    else:
        yield Check("clock", "ok", f"agrees with the store's, to {abs(skew_s) * 1_000:.0f} ms")
    up = await nodes_up(store)
    names = ", ".join(f"{short(node.id)} ({node.host.partition('/')[0]}, pid {node.pid})" for node in up)
    yield Check("nodes", "ok" if up else "note", names or "none is up", "" if up else "`comity up` starts one")
    stopped = [scope for scope, _ in await orders.stopped()]
    if stopped:
        yield Check("stops", "warning", f"stopped: {', '.join(stopped)}", f"`comity stop {stopped[0]} --lift` lifts it")
    programs = {program.file: program for _, program in await StoredPrograms(store).all()}
    for program in programs.values():
        yield _agent_file(program)
    if not programs:
        yield Check("agents", "note", "none is registered", "`comity agents register FILE`")


def unreachable(error: ComityError) -> Check:
    """Return the check of a store that cannot be used."""
    return Check("store", "error", error.message, error.hint)


def _isolation() -> Check:
    text = isolation.described()
    if isolation.is_whole():
        return Check("brain isolation", "ok", text)
    hint = "Linux 6.12 and later have all of it, where it is switched on (`lsm=landlock,…`)"
    if text == "none":
        return Check("brain isolation", "note", "none: agents' code runs with this user's rights", hint)
    return Check("brain isolation", "warning", text, hint)


def _home(home: Path) -> Check:
    if not home.exists():
        return Check("home", "ok", f"{home} is made when it is needed")
    mode = stat.S_IMODE(home.stat().st_mode)
    if not os.access(home, os.W_OK | os.X_OK):
        return Check("home", "error", f"`{home}` cannot be written", "set COMITY_HOME to a folder that can")
    if mode & 0o077:
        text = f"`{home}` is open to others (mode {mode:04o})"
        return Check("home", "warning", text, f"`chmod 700 {home}`")
    return Check("home", "ok", f"{home} (mode {mode:04o})")


def _sqlite(url: str) -> Iterator[Check]:
    from comity.stores import sqlite_file
    from comity.stores.sqlite_errors import sqlite_errors

    path = sqlite_file.path_of(url)
    with sqlite_errors(path):
        db = sqlite_file.connect(path)
        try:
            levels = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
            level = int(str(db.pragma("synchronous")))
            mode = str(db.pragma("journal_mode")).upper()
        finally:
            db.close()
    text = f"synchronous={levels.get(level, level)}, journal_mode={mode}"
    if level >= 2 and mode == "WAL":
        yield Check("durability", "ok", f"{text}: each commit is on disk before it counts")
    else:
        yield Check("durability", "error", f"P2 degraded: {text}", "put the store on a local disk")
    kind = _file_system(Path(path))
    if kind in _REMOTE_FILES:
        text = f"P2 degraded: the store lies on `{kind}`, whose locks and fsync SQLite cannot trust"
        yield Check("disk", "error", text, "put it on a local disk, or use PostgreSQL")


async def _postgres(url: str) -> AsyncIterator[Check]:
    from comity.stores.postgres_upkeep import connected

    found: dict[str, str] = {}
    async with connected(url) as connection:
        for name in ("server_version", "fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names"):
            row = await (await connection.execute("SELECT current_setting(%s)", (name,))).fetchone()
            found[name] = str(row[0]) if row is not None else ""
        row = await (await connection.execute("SELECT count(*) FROM pg_stat_replication")).fetchone()
        standbys = int(row[0]) if row is not None else 0
    yield Check("postgresql", "ok", found["server_version"])
    settings = {name: found[name] for name in ("fsync", "full_page_writes", "synchronous_commit")}
    text = ", ".join(f"{name}={value}" for name, value in settings.items())
    off = [name for name, value in settings.items() if value == "off"]
    if off:
        hint = f"set `{off[0]} = on` in postgresql.conf: an acknowledged commit may be lost without it"
        yield Check("durability", "error", f"P2 degraded: {text}", hint)
    else:
        yield Check("durability", "ok", f"{text}: each commit is on disk before it counts")
    if found["synchronous_standby_names"]:
        yield Check("standby", "ok", f"synchronous: {found['synchronous_standby_names']}")
    elif standbys:
        text = (
            f"P2 degraded: {number(standbys, 'standby', 'standbys')}, none synchronous; a fail-over may forget commits"
        )
        yield Check("standby", "warning", text, "set synchronous_standby_names")
    else:
        yield Check("standby", "note", "none: the store is as safe as its one disk")


def _agent_file(program: Program) -> Check:
    names = ", ".join(spec.name for spec in program.agents)
    path = Path(program.file)
    if not path.is_file():
        text = f"`{program.file}` is not there ({names})"
        return Check("agents", "error", text, "put it back, or register the agents from another file")
    if hashlib.sha256(path.read_bytes()).hexdigest() != program.digest:
        text = f"`{program.file}` has changed since it was registered ({names})"
        return Check("agents", "warning", text, f"`comity agents register {program.file}`")
    return Check("agents", "ok", f"{names}  {program.file}")


def _file_system(path: Path) -> str:
    """Return the kind of file system on which a file lies; empty where the system does not tell."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    whole = path.resolve()
    found = [line.split()[1:3] for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    around = [(place, kind) for place, kind in found if whole.is_relative_to(place)]
    return max(around, key=lambda item: len(item[0]), default=("", ""))[1]
