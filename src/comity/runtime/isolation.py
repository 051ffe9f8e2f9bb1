"""Brain isolation: what agents' processes cannot reach, whatever code they come to run.

By Landlock, a filter on system calls and fewer capabilities, as far as the kernel has them: Comity's state,
configuration and code; TCP ports but the gateway's; other processes. Landlock knows no exceptions: a folder is allowed
with all that it holds and will hold. So around a closed path what lies beside it is allowed, and nothing new can be
made there. A brain loads this file, so it stands on nothing else of `runtime`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import msgspec

from comity.runtime import seccomp
from comity.runtime.hardening import gain_no_privileges
from comity.runtime.landlock import ABI_PORTS, ABI_SCOPES, Files, Ruleset, abi

READ = Files.READ | Files.LIST | Files.EXECUTE
CHANGE = Files(sum(Files)) & ~(READ | Files.MAKE_BLOCK_DEVICE | Files.MAKE_CHARACTER_DEVICE)
KERNEL = ("/proc", "/sys")
"""Where files are the kernel's own switches: read only."""
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue", "dri", "kfd", "nvidia")
"""What processes need of `/dev` (names, or how they begin): no disk, no memory."""


class Isolation(msgspec.Struct, frozen=True):
    """What a process is kept from. Paths are absolute and hold no symbolic links.

    `hidden` can neither be read nor changed, `fixed` be read only; of the rest, what lies in `changeable` can be
    changed. `listed` are folders whose names may be listed though something in them is hidden. `ports` are the TCP
    ports to connect to, `listening` those to listen on (and any free one); None is no network at all. With `has_unix`
    it may use Unix sockets, behind which services may listen that do anything in its name.
    """

    hidden: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    changeable: tuple[str, ...] = ("/",)
    listed: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = None
    listening: tuple[int, ...] = ()
    has_unix: bool = False


def isolate(isolation: Isolation) -> None:
    """Isolate this process, which has one thread, and all that it starts, as far as the kernel can.

    Raises:
        OSError: The kernel can, and refuses: the process is not isolated and must not go on.
    """
    gain_no_privileges()
    if abi():
        with Ruleset(has_files=True, has_ports=True) as rules:
            for path, rights in open_paths(isolation).items():
                rules.allow(path, rights)
            for port in isolation.ports or ():
                rules.allow_port(port, may_connect=True)
            for port in (0, *isolation.listening) if isolation.ports is not None else ():
                rules.allow_port(port, may_listen=True)
            rules.restrict()
    machine = seccomp.machine()
    if machine is not None:
        has_internet = isolation.ports is not None
        seccomp.install(seccomp.policy(machine, has_internet=has_internet, has_unix=isolation.has_unix))


def isolate_from_kin() -> None:
    """Isolate this process, which is isolated with others, from these as well: none can trace or signal another."""
    if abi():
        with Ruleset() as rules:
            rules.restrict()


def is_whole() -> bool:
    """Tell whether all of it can be had here."""
    return abi() >= ABI_SCOPES and seccomp.machine() is not None


def described() -> str:
    """Return in words what can be had here; `none` where files cannot be hidden."""
    known = abi()
    if not known:
        return "none"
    parts = ["files", *(["TCP ports"] if known >= ABI_PORTS else []), *(["signals"] if known >= ABI_SCOPES else [])]
    gaps = ["addresses", "UDP", *([] if seccomp.machine() is not None else ["MPTCP", "Unix sockets"])]
    return f"landlock abi {known} ({', '.join(parts)}; {', '.join(f'not {gap}' for gap in gaps)})"


def open_paths(isolation: Isolation) -> dict[str, Files]:
    """Return the files and folders that stay open, and what may be done with them."""
    hidden, changeable = isolation.hidden, isolation.changeable
    found = dict.fromkeys(around(("/", *changeable), (*hidden, "/dev")), READ)
    for path in around(changeable, (*hidden, *isolation.fixed, *KERNEL, "/dev")):
        found[path] = found.get(path, READ) | CHANGE
    for path in isolation.listed:
        found[path] = found.get(path, Files.LIST) | Files.LIST
    for name in os.listdir("/dev"):  # noqa: PTH208 (a Path has no names alone)
        if name.startswith(DEVICES):
            found[f"/dev/{name}"] = READ | CHANGE
    return found


def may_make_in(folder: str, isolation: Isolation) -> bool:
    """Tell whether the process may make files in a folder."""
    return any(is_within(folder, path) and Files.MAKE_FILE in rights for path, rights in open_paths(isolation).items())


def around(roots: Iterable[str], closed: Iterable[str]) -> Iterator[str]:
    """Yield what of `roots` is open: the whole of one, or what lies in it beside the `closed` paths."""
    for root in roots:
        if any(is_within(root, path) for path in closed):
            continue
        inner = [path for path in closed if is_within(path, root)]
        yield from around(_inside(root), inner) if inner else (root,)


def is_within(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _inside(folder: str) -> list[str]:
    """Return what a folder holds, less symbolic links: what these lead to is judged by itself."""
    try:
        with os.scandir(folder) as found:
            return [entry.path for entry in found if not entry.is_symlink()]
    except OSError:  # it is no folder, or is not to be listed: then nothing in it is allowed
        return []
