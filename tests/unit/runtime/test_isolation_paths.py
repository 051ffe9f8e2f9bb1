"""Which paths are Comity's own, and where a program may not work because of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.runtime.config import Config, load_config
from comity.runtime.isolation import is_within
from comity.runtime.isolation_paths import of_brains, of_program


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A user's home, with a project in it."""
    home = tmp_path.resolve() / "ada"
    (home / "project").mkdir(parents=True)
    return home


def configured(place: Path, text: str = "", **environment: str) -> tuple[Config, dict[str, str]]:
    (place / "project" / "comity.toml").write_text(text)
    environment = {"HOME": str(place), **environment}
    return load_config(environment, folder=place / "project"), environment


def test_state_and_the_users_configuration_are_hidden(place: Path) -> None:
    isolated = of_program(*configured(place), place / "project")
    assert {str(place / ".local/share/comity"), str(place / ".config/comity")} <= set(isolated.hidden)


def test_a_store_outside_of_the_home_is_hidden_with_what_lies_beside_it(place: Path) -> None:
    url = f"sqlite:///{place}/stores/main.db"
    isolated = of_program(*configured(place, COMITY_STORE__URL=url), place / "project")
    for end in ("", "-wal", "-shm", "-journal"):
        assert f"{place}/stores/main.db{end}" in isolated.hidden


def test_the_password_file_of_a_postgresql_store_is_hidden(place: Path) -> None:
    url = "postgresql://db/comity"
    assert str(place / ".pgpass") in of_brains(*configured(place, COMITY_STORE__URL=url)).hidden
    elsewhere = of_brains(*configured(place, COMITY_STORE__URL=url, PGPASSFILE=str(place / "passes")))
    assert str(place / "passes") in elsewhere.hidden


def test_another_home_leaves_the_users_own_hidden_where_there_is_one(place: Path) -> None:
    given = configured(place, COMITY_HOME=str(place / "elsewhere"))
    assert str(place / ".local/share/comity") not in of_brains(*given).hidden
    (place / ".local/share/comity").mkdir(parents=True)
    assert str(place / ".local/share/comity") in of_brains(*given).hidden
    assert str(place / "elsewhere") in of_brains(*given).hidden


@pytest.mark.parametrize("where", [".", ".local", ".local/share/comity"])
def test_a_program_cannot_work_where_state_lies(place: Path, where: str) -> None:
    (place / where).mkdir(parents=True, exist_ok=True)
    given = configured(place)
    with pytest.raises(UsageError, match="lies in the working folder") as caught:
        of_program(*given, place / where)
    assert caught.value.code == "state_in_reach"
    assert "COMITY_HOME" in caught.value.hint


def test_a_configuration_is_hidden_unless_it_lies_in_the_working_folder(place: Path) -> None:
    given = configured(place)
    (place / "other").mkdir()
    file = str(place / "project" / "comity.toml")
    assert file not in of_program(*given, place / "project").hidden
    assert file in of_program(*given, place / "other").hidden
    assert file in of_brains(*given).hidden


def test_what_a_node_runs_is_fixed_unless_it_lies_in_the_working_folder(place: Path) -> None:
    given = configured(place, '[agents.clerk]\nfile = "clerk.py"\n')
    file = str(place / "project" / "clerk.py")
    (place / "other").mkdir()
    assert file in of_program(*given, place / "other").fixed
    assert file not in of_program(*given, place / "project").fixed
    assert any(is_within(__import__("comity").__file__, path) for path in of_brains(*given).fixed)


def test_a_nodes_brain_has_no_network_and_changes_temporary_files_alone(place: Path) -> None:
    isolated = of_brains(*configured(place))
    assert isolated.ports is None
    assert "/" not in isolated.changeable
    assert not any(is_within(str(Path.home()), folder) for folder in isolated.changeable)
