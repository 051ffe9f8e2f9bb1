"""What holds for every test: coroutines run, one hypothesis profile, a printed seed, no network but loopback."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import random
import sys
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, print_blob=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of this run, unless --hypothesis-seed names one, before hypothesis looks for it.

    A worker of pytest-xdist takes that of its controller, which prints it.
    """
    settings.load_profile(config.getoption("hypothesis_profile") or "house")
    if hasattr(config, "workerinput"):
        config.option.hypothesis_seed = config.workerinput["hypothesis_seed"]
    elif config.getoption("hypothesis_seed") is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    sys.addaudithook(refuse_network)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker the seed of this run."""
    node.workerinput["hypothesis_seed"] = node.config.option.hypothesis_seed


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function to its end, on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Print the seed where something failed."""
    if exitstatus != pytest.ExitCode.OK:
        terminalreporter.write_line(f"hypothesis seed: repeat with --hypothesis-seed={config.option.hypothesis_seed}")


def refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse to connect or send to, or to look up, anything but this machine (an audit hook)."""
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and len(address) >= 2 else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not is_local(host):
        message = f"a test reached for the network: {event} {host!r}"
        raise AssertionError(message)


def is_local(host: object) -> bool:
    """Whether a host is this machine: loopback, a name of it, or a Unix socket (which has no host)."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or host in {"", "localhost", "0.0.0.0", "::"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
