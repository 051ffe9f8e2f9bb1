"""Where a server may listen: on loopback, with TLS, or where a proxy has it; on its own socket or an inherited one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.runtime.config_sections import ServerSection
from comity.server.listening import Listening, check_tls, listen


def closed(listening: Listening) -> str:
    """Close what listens, and return its URL without the port."""
    listening.socket.close()
    return listening.url.rpartition(":")[0]


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1"), ("localhost", "http://127.0.0.1"), ("::1", "http://[::1]")]
)
def test_loopback_is_listened_on_as_it_is(host: str, url: str) -> None:
    assert closed(listen(ServerSection(host=host, port=0))) == url


def test_other_addresses_need_tls_or_a_proxy() -> None:
    with pytest.raises(UsageError, match=r"`0\.0\.0\.0`, which other machines reach") as refused:
        listen(ServerSection(host="0.0.0.0", port=0))
    assert "tls_cert_file" in refused.value.hint
    assert "behind_proxy" in refused.value.hint
    name = socket.gethostname()
    assert closed(listen(ServerSection(host="0.0.0.0", port=0, behind_proxy=True))) == f"http://{name}"
    section = ServerSection(host="0.0.0.0", port=0, tls_cert_file="cert.pem", tls_key_file="key.pem")
    assert closed(listen(section)) == f"https://{name}"


def test_an_inherited_socket_is_no_way_around_that() -> None:
    with socket.create_server(("0.0.0.0", 0)) as theirs, pytest.raises(UsageError, match="other machines reach"):
        listen(ServerSection(), os.dup(theirs.fileno()))


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"`127.0.0.1:{port}` cannot be listened on: address already in use"):
            listen(ServerSection(port=port))


def test_an_inherited_socket_is_served_and_not_passed_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        fd = os.dup(theirs.fileno())
        os.set_inheritable(fd, True)
        listening = listen(ServerSection(port=1), fd)
        assert listening.url == f"http://127.0.0.1:{theirs.getsockname()[1]}"
        assert not os.get_inheritable(fd)
        listening.socket.close()


def test_what_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, pytest.raises(UsageError, match="is no socket"):
        listen(ServerSection(), os.dup(file.fileno()))
    with socket.socket() as idle, pytest.raises(UsageError, match="no TCP socket that listens"):
        listen(ServerSection(), idle.fileno())
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(UsageError, match="no TCP socket that listens"):
        listen(ServerSection(), ours.fileno())
    with pytest.raises(UsageError, match="`999` is no socket"):
        listen(ServerSection(), 999)


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "cert.pem")
    with pytest.raises(UsageError, match=r"cert\.pem.* cannot be used: No such file"):
        check_tls(ServerSection(tls_cert_file=missing, tls_key_file=missing))
    (tmp_path / "cert.pem").write_text("no certificate", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be used"):
        check_tls(ServerSection(tls_cert_file=missing, tls_key_file=missing))
    check_tls(ServerSection())
