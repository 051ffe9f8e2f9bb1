"""A hostile program: it tries everything to come by what is not its own, and tells what it got hold of.

Run as `python hostile.py TARGETS`, a JSON document, or by `attack`: nothing of ours is in it. Each probe runs in a
process of its own and ends with what it found, or with the error that kept it from it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
IPPROTO_MPTCP = 262
MSG_FASTOPEN = 0x2000_0000
PIDFD_OPEN, PIDFD_GETFD, IO_URING_SETUP = 434, 438, 425
PTRACE_SEIZE = 0x4206

Probe = Callable[[], Any]


def attack(targets: dict[str, Any]) -> dict[str, str]:
    """Return for each probe what it found (`found …`), or what it met."""
    pids = {**targets.get("pids", {}), **(relatives() if targets.get("has_relatives") else {})}
    return {name: _apart(probe) for name, probe in probes({**targets, "pids": pids})}


def relatives() -> dict[str, int]:
    """Return who started this process and what else they started, by what their command line says they are."""
    families: dict[int, list[int]] = {}
    parents: dict[int, int] = {}
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
        families.setdefault(parent, []).append(pid)
        parents[pid] = parent
    eldest = parents[parents[os.getpid()]]
    found = {"eldest": eldest}
    left = [eldest]
    while left:
        for pid in families.get(left.pop(), []):
            if pid != os.getpid():
                found[_role(pid)] = pid
                left.append(pid)
    return found


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    marks = {"--listen-fd": "node", "comity.runtime.launch": "guardian", "comity.runtime.forkserver": "zygote"}
    role = next((role for mark, role in marks.items() if mark in words), "other")
    return f"{words[words.index('comity.runtime.forkserver') + 1]} {role}" if role == "zygote" else role


def probes(targets: dict[str, Any]) -> Iterator[tuple[str, Probe]]:
    """Yield every probe on `files`, `folders`, `victims` (files to spoil), `pids` by name, `ports`, `abstract` sockets.

    `kept` are files that are only opened for writing.
    """
    for path in targets.get("files", ()):
        yield f"read {path}", lambda path=path: _read(path)
        yield f"read through a link {path}", lambda path=path: _read_by(path, os.symlink)
        yield f"read through a hard link {path}", lambda path=path: _read_by(path, os.link)
    for path in targets.get("folders", ()):
        yield f"list {path}", lambda path=path: [item.name for item in Path(path).iterdir()]
        yield f"make a file in {path}", lambda path=path: _make(Path(path) / "planted")
    for path in targets.get("victims", ()):
        yield f"write {path}", lambda path=path: _spoil(path)
        yield f"truncate {path}", lambda path=path: os.truncate(path, 0) or "truncated"
        yield f"move {path}", lambda path=path: _move(path)
    for path in targets.get("kept", ()):
        yield f"open for writing {path}", lambda path=path: _opened(path)
    for role, pid in targets.get("pids", {}).items():
        yield from _of_process(role, pid, targets.get("files", ()))
    for port in targets.get("ports", ()):
        yield f"connect to {port}", lambda port=port: _connect(port, 0)
        yield f"connect by MPTCP to {port}", lambda port=port: _connect(port, IPPROTO_MPTCP)
        yield f"connect with data to {port}", lambda port=port: _fast_open(port)
        yield f"connect by IPv6 to {port}", lambda port=port: _connect_mapped(port)
    for name in targets.get("abstract", ()):
        yield f"connect to abstract {name}", lambda name=name: _connect_unix("\0" + name)
    for port in targets.get("listen", ()):
        yield f"listen on {port}", lambda port=port: socket.create_server(("127.0.0.1", port)).getsockname()
    yield "have io_uring", _io_uring
    yield "have a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).fileno()
    yield "read all environments", lambda: _loot("environ")
    yield "write to the kernel", lambda: _opened("/proc/sys/kernel/core_pattern")


def _of_process(role: str, pid: int, files: list[str]) -> Iterator[tuple[str, Probe]]:
    folder = f"/proc/{pid}"
    yield f"read the environment of {role}", lambda: _read(f"{folder}/environ")
    yield f"read the memory of {role}", lambda: _memory(pid)
    yield f"list the descriptors of {role}", lambda: [str(fd.readlink()) for fd in Path(f"{folder}/fd").iterdir()]
    yield f"read the map of {role}", lambda: _read(f"{folder}/maps")
    yield f"copy the memory of {role}", lambda: _copy_memory(pid)
    yield f"take a descriptor of {role}", lambda: _take_descriptor(pid)
    yield f"trace {role}", lambda: _traced(pid)
    yield f"signal {role}", lambda: os.kill(pid, 0) or "signalled"
    yield f"limit {role}", lambda: resource.prlimit(pid, resource.RLIMIT_CORE)
    for path in files:
        yield f"read {path} by the root of {role}", lambda path=path: _read(f"{folder}/root{path}")


def _apart(probe: Probe) -> str:
    """Run a probe in a process of its own: what it changes, and how it ends, harms no other."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        said = "broke"
        try:
            said = f"found {probe()!r}"
        except OSError as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            with os.fdopen(write, "wb") as pipe:
                pipe.write(said.encode(errors="replace"))
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    return said or f"ended with {status}"


def _read(path: str) -> str:
    text = Path(path).read_bytes().decode(errors="replace")
    if not text:
        raise OSError("it is empty")
    return text


def _read_by(path: str, how: Callable[[str, str], None]) -> str:
    name = tempfile.mktemp(dir=Path.cwd())
    try:
        how(path, name)
        return _read(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _make(path: Path) -> str:
    path.write_text("planted")
    return "made"


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR)


def _spoil(path: str) -> str:
    with Path(path).open("a") as file:
        file.write("spoilt")
    return "written"


def _move(path: str) -> str:
    Path(path).rename(path + "-moved").rename(path)
    return "moved"


def _memory(pid: int) -> int:
    """Read the beginning of the process's stack."""
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        memory.seek(_stack_of(pid))
        return len(memory.read(64))


def _stack_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith("[stack]"):
            return int(line.partition("-")[0], 16)
    raise OSError("it has no stack")


def _copy_memory(pid: int) -> int:
    """Call process_vm_readv, at any address: a process that may be read says that there is nothing (EFAULT)."""
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 8)
    LIBC.process_vm_readv(pid, vector, 1, (ctypes.c_uint64 * 2)(8, 8), 1, 0)
    if ctypes.get_errno() == 14:
        return 8
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _take_descriptor(pid: int) -> int:
    pidfd = _checked(LIBC.syscall(PIDFD_OPEN, pid, 0))
    return _checked(LIBC.syscall(PIDFD_GETFD, pidfd, 0, 0))


def _traced(pid: int) -> str:
    _checked(LIBC.ptrace(PTRACE_SEIZE, pid, None, None))
    return "traced"


def _connect(port: int, protocol: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as made:
        made.connect(("127.0.0.1", port))
        return "connected"


def _connect_mapped(port: int) -> str:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.connect(("::ffff:127.0.0.1", port))
        return "connected"


def _fast_open(port: int) -> int:
    with socket.socket() as made:
        return made.sendto(b"hello", MSG_FASTOPEN, ("127.0.0.1", port))


def _connect_unix(address: str) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(address)
        return "connected"


def _io_uring() -> int:
    return _checked(LIBC.syscall(IO_URING_SETUP, 4, ctypes.create_string_buffer(120)))


def _loot(name: str) -> str:
    """Read that file of every process but this one's kin."""
    kin = {os.getpid(), os.getppid(), os.getpgrp()}
    texts = []
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        if pid in kin:
            continue
        try:
            texts.append(Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    if not any(texts):
        raise OSError("nothing can be read")
    return "\n".join(texts)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    json.dump(attack(json.loads(sys.argv[1])), sys.stdout)
