"""Where the server is reached: a socket of its own or an inherited one, and whether it may listen there at all."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from typing import NamedTuple

from comity.core.errors import UsageError
from comity.runtime.config_sections import ServerSection

BACKLOG = 2_048


class Listening(NamedTuple):
    """A bound socket, and the URL by which it is reached."""

    socket: socket.socket
    url: str


def listen(section: ServerSection, inherited_fd: int | None = None) -> Listening:
    """Bind the address of `[server]`, or take a socket that a supervisor listens on.

    Raises:
        UsageError: the address is taken or none of this machine; or neither loopback nor protected.
    """
    sock = _inherited(inherited_fd) if inherited_fd is not None else _bound(section)
    host, port = sock.getsockname()[:2]
    try:
        check_exposure(section, host)
    except UsageError:
        sock.close()
        raise
    address = ipaddress.ip_address(host)
    name = socket.gethostname() if address.is_unspecified else f"[{host}]" if address.version == 6 else host
    return Listening(sock, f"{'https' if section.tls_cert_file else 'http'}://{name}:{port}")


def check_exposure(section: ServerSection, host: str) -> None:
    """Refuse an address that other machines reach, without TLS and without a proxy that is said to be there.

    Raises:
        UsageError: it is one.
    """
    if ipaddress.ip_address(host).is_loopback or section.tls_cert_file or section.behind_proxy:
        return
    raise UsageError(
        "exposed",
        f"`server.host` is `{host}`, which other machines reach, and tokens would travel in the clear",
        hint="set `tls_cert_file` and `tls_key_file` in `[server]`, or `behind_proxy = true` where a proxy has TLS",
    )


def check_tls(section: ServerSection) -> None:
    """Refuse a certificate and key that cannot be used.

    Raises:
        UsageError: one of them.
    """
    if not section.tls_cert_file:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(section.tls_cert_file, section.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        text = f"`{section.tls_cert_file}` and `{section.tls_key_file}` cannot be used: {error.strerror or error}"
        raise UsageError("bad_tls", text, hint="give a PEM certificate chain, and its key without a password") from None


def _bound(section: ServerSection) -> socket.socket:
    try:
        found = socket.getaddrinfo(section.host, section.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        check_exposure(section, str(address[0]))
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_bound(section, error) from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _not_bound(section, error) from None
    sock.setblocking(False)
    return sock


def _not_bound(section: ServerSection, error: OSError) -> UsageError:
    why = (error.strerror or str(error)).lower()
    hint = "`--port 0` takes a free port; `server.host` and `server.port` say where to listen"
    return UsageError("not_bound", f"`{section.host}:{section.port}` cannot be listened on: {why}", hint=hint)


def _inherited(fd: int) -> socket.socket:
    hint = "`--listen-fd` takes the number of a TCP socket that listens, as a supervisor passes it on"
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UsageError("bad_listen_fd", f"descriptor `{fd}` is no socket: {why}", hint=hint) from None
    is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
    if not is_tcp or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        raise UsageError("bad_listen_fd", f"descriptor `{fd}` is no TCP socket that listens", hint=hint)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock
