"""The house itself: a Python is found or asked for, tests stay on this machine, the layers are held."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


# ---- tools/find_python -----------------------------------------------------------------------------------


def find_python(folder: Path, programs: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run tools/find_python where only `programs` exist."""
    for name, script in programs.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tools/find_python")],
        env={"PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


GIT = {"git": "exit 0"}
STUB = "exit 127"  # what a version manager leaves for a version that is not chosen
WITHOUT_VENV = f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
WORKING = f'exec {sys.executable} "$@"'


def test_the_newest_python_that_runs_is_taken(tmp_path: Path) -> None:
    result = find_python(tmp_path, GIT | {"python3.13": STUB, "python3.12": WORKING, "python3": WORKING})
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/python3.12\n")


def test_a_python_that_is_named_is_taken(tmp_path: Path) -> None:
    result = find_python(tmp_path, GIT | {"python3.12": WORKING, "mine": WORKING}, PYTHON=f"{tmp_path}/mine")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/mine\n")


@pytest.mark.parametrize(
    ("programs", "command"),
    [
        ({"python3": WORKING}, "apt-get install --yes git"),
        (GIT, "apt-get install --yes python3 python3-venv"),
        (GIT | {"python3": STUB}, "apt-get install --yes python3 python3-venv"),
        (
            GIT | {"python3": WITHOUT_VENV},
            f"apt-get install --yes python{sys.version_info.major}.{sys.version_info.minor}-venv",
        ),
    ],
)
def test_where_something_is_missing_the_command_that_installs_it_is_printed(
    tmp_path: Path, programs: dict[str, str], command: str
) -> None:
    result = find_python(tmp_path, programs)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].strip() == command


# ---- tests stay on this machine --------------------------------------------------------------------------


def test_a_test_that_reaches_for_the_network_fails() -> None:
    with socket.socket() as client, pytest.raises(AssertionError, match="reached for the network"):
        client.connect(("192.0.2.1", 80))
    with pytest.raises(AssertionError, match="reached for the network"):
        socket.getaddrinfo("example.org", 80)


def test_a_test_may_use_loopback_and_unix_sockets(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
    assert socket.getaddrinfo("localhost", 80)


# ---- layers ----------------------------------------------------------------------------------------------


def lint_imports(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Hold a made-up `comity` to the contract of this repository's pyproject.toml."""
    for path in {"comity/__init__.py": "", **files}.items():
        file = folder / path[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path[1], encoding="utf-8")
        for package in file.relative_to(folder).parents[:-2]:
            (folder / package / "__init__.py").touch()
    command = [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache", "--config"]
    return subprocess.run(
        [*command, str(ROOT / "pyproject.toml")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_layer_may_import_from_those_below_it(tmp_path: Path) -> None:
    files = {
        "comity/__main__.py": "from comity.cli import main\n",
        "comity/cli/main.py": "import comity.runtime.node\n",
        "comity/runtime/node.py": "import comity.kernel.path\nimport comity.stores.sqlite\n",
        "comity/kernel/path.py": "import comity.core.ids\n",
        "comity/stores/sqlite.py": "import comity.journal.entry\n",
        "comity/journal/entry.py": "import comity.core.ids\n",
        "comity/core/ids.py": "",
    }
    result = lint_imports(tmp_path, files)
    assert "2 kept, 0 broken" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize(
    "files",
    [
        {"comity/core/ids.py": "import comity.journal.entry\n", "comity/journal/entry.py": ""},
        {"comity/kernel/path.py": "import comity.stores.sqlite\n", "comity/stores/sqlite.py": ""},
        {"comity/novelty/idea.py": ""},
        {"comity/novelty.py": ""},
    ],
    ids=["upwards", "sideways", "unnamed folder", "unnamed file"],
)
def test_an_import_against_the_layers_and_a_folder_without_one_fail(tmp_path: Path, files: dict[str, str]) -> None:
    result = lint_imports(tmp_path, files)
    assert result.returncode == 1
    assert "1 kept, 1 broken" in result.stdout, result.stdout + result.stderr
