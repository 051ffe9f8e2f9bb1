"""The configuration: which place wins, where each value came from, and what `comity init` writes."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.journal.budget import Budget
from comity.journal.spec import Effect, ToolSpec
from comity.runtime.config import Config, load_config
from comity.runtime.config_init import init_text
from comity.runtime.config_sections import Sections
from comity.runtime.config_tools import ToolSection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(folder: Path, text: str | None = None, flags: dict[str, object] | None = None, **environment: str) -> Config:
    if text is not None:
        (folder / "comity.toml").write_text(text, encoding="utf-8")
    return load_config({"HOME": str(folder / "user"), **environment}, flags=flags, folder=folder)


def test_without_a_file_everything_is_a_default(folder):
    config = load(folder)
    assert config.sections.node == Sections().node
    assert config.sections.store.url == f"sqlite:///{folder}/user/.local/share/comity/comity.db"
    assert config.file is None
    assert {line.source for line in config.show()} == {"default"}


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(folder):
    text = "[node]\nworkers = 2\nlease_s = 20\nlinger_s = 1.5\n"
    config = load(
        folder, text, {"node.workers": 4, "node.drain_s": None}, COMITY_NODE__WORKERS="3", COMITY_NODE__LEASE_S="30"
    )
    assert config.sections.node.workers == 4
    assert config.sections.node.lease_s == 30.0
    assert config.sections.node.linger_s == 1.5
    assert config.source("node", "workers") == "flag"
    assert config.source("node", "lease_s") == "env COMITY_NODE__LEASE_S"
    assert config.source("node", "linger_s") == "comity.toml:4"
    assert config.source("node", "drain_s") == "default"


def test_the_first_file_that_exists_is_read(folder):
    users = folder / "user" / ".config" / "comity"
    users.mkdir(parents=True)
    (users / "comity.toml").write_text("[node]\nworkers = 1\n")
    assert load(folder).source("node", "workers") == "~/.config/comity/comity.toml:2"
    assert load(folder, "[node]\nworkers = 2\n").sections.node.workers == 2
    (folder / "named.toml").write_text("[node]\nworkers = 3\n")
    assert load(folder, COMITY_CONFIG="named.toml").sections.node.workers == 3
    (folder / "flag.toml").write_text("[node]\nworkers = 4\n")
    environment = {"HOME": "/nowhere", "COMITY_CONFIG": "named.toml"}
    assert load_config(environment, file="flag.toml", folder=folder).sections.node.workers == 4


def test_show_tells_each_value_with_its_place_and_no_password(folder):
    config = load(folder, "[node]\nqueues = ['a']\n", COMITY_STORE__URL="postgresql://u:hush@db/comity")
    lines = {line.key: line for line in config.show()}
    assert lines["store.url"].value == '"postgresql://u:…@db/comity"'
    assert lines["store.url"].source == "env COMITY_STORE__URL"
    assert lines["node.queues"] == ("node.queues", '["a"]', "comity.toml:2")
    assert lines["home"].source == "default"
    assert "hush" not in str(config.show())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@ss@db/x?password=hush&a=b", "postgresql://u:…@db/x?password=…&a=b"),
        ("postgresql://u@[::1]:5432/x", "postgresql://u@[::1]:5432/x"),
        ("sqlite:////a:b/c@d.db", "sqlite:////a:b/c@d.db"),
    ],
)
def test_only_passwords_are_left_out_of_urls(folder, url, shown):
    lines = {line.key: line.value for line in load(folder, COMITY_STORE__URL=url).show()}
    assert lines["store.url"] == f'"{shown}"'


def test_what_init_writes_loads_and_changes_nothing(folder):
    config = load(folder, init_text())
    assert config.sections == load(folder, "").sections
    assert {line.source for line in config.show()} == {"default"}


def test_what_init_writes_loads_with_every_line_uncommented_and_names_every_key(folder):
    text = re.sub(r"^# (?=\[|[a-z_]+ = )", "", init_text(), flags=re.MULTILINE)
    text = "\n".join(line for line in text.split("\n") if not line.startswith('url = "postgresql'))
    config = load(folder, text)
    assert config.sections.node == Sections().node
    keys = {name for key in config.sources for name in key}
    sections = [config.sections.node, config.sections.store, config.sections.agents["clerk"].budget]
    sections += [config.sections.upstreams["openai"], config.sections.tools["pay"]]
    assert {name for section in sections for name in section.__struct_fields__} <= keys
    settings = config.model_settings
    assert settings.models["default"].output_tokens_max == 8192
    assert settings.models["rehearsed"].scripted == f"{folder}/agent.py:answers"


def test_names_in_the_environment_find_their_entry_whatever_its_case(folder):
    text = '[models.Fast-One]\nupstream = "u"\nmodel = "m"\n[upstreams.u]\nbase_url = "http://127.0.0.1/v1"\n'
    config = load(folder, text, COMITY_MODELS__FAST_ONE__MODEL="other", COMITY_UPSTREAMS__U__TIMEOUT_S="5")
    assert config.sections.models["Fast-One"].model == "other"
    assert config.sections.upstreams["u"].timeout_s == 5.0
    fresh = load(folder, text, COMITY_MODELS__NEW__MODEL="n", COMITY_MODELS__NEW__UPSTREAM="u")
    assert fresh.sections.models["new"].model == "n"


@pytest.mark.parametrize(
    ("text", "queues"), [("a, b", ("a", "b")), ('["a", "b c"]', ("a", "b c")), ("", ()), ("one", ("one",))]
)
def test_lists_in_the_environment_may_have_commas_or_brackets(folder, text, queues):
    assert load(folder, COMITY_NODE__QUEUES=text).sections.node.queues == queues


def test_text_in_the_environment_stays_text_even_if_it_looks_like_a_number(folder):
    text = '[models.m]\nupstream = "u"\nmodel = "x"\n[upstreams.u]\nbase_url = "http://127.0.0.1/v1"\n'
    assert load(folder, text, COMITY_MODELS__M__MODEL="4").sections.models["m"].model == "4"


def test_the_environment_gives_a_default_model(folder):
    config = load(folder, OPENAI_BASE_URL="http://127.0.0.1:8000/v1", OPENAI_API_KEY="hush-hush", OPENAI_MODEL="small")
    entry = config.sections.models["default"]
    upstream = config.sections.upstreams[entry.upstream]
    assert (entry.model, upstream.base_url, upstream.api_key_env) == (
        "small",
        "http://127.0.0.1:8000/v1",
        "OPENAI_API_KEY",
    )
    assert config.source("models", "default", "model") == "env OPENAI_MODEL"
    assert config.source("upstreams", entry.upstream, "base_url") == "env OPENAI_BASE_URL"
    assert config.secrets == ("hush-hush",)
    assert "hush-hush" not in str(config.show())


def test_a_key_alone_means_openai_and_a_url_alone_needs_no_key(folder):
    key_alone = load(folder, OPENAI_API_KEY="hush-hush").sections
    assert key_alone.upstreams["environment"].base_url == "https://api.openai.com/v1"
    url_alone = load(folder, OPENAI_BASE_URL="http://127.0.0.1:1/v1").sections
    assert url_alone.upstreams["environment"].api_key_env == ""
    assert not load(folder).sections.models


def test_a_configured_default_model_wins_over_the_environment(folder):
    config = load(folder, '[models.default]\nscripted = "agent.py:answers"\n', OPENAI_API_KEY="hush-hush")
    assert config.sections.models["default"].scripted == f"{folder}/agent.py:answers"
    assert not config.sections.upstreams


def test_paths_of_the_file_begin_in_its_folder_and_others_here(folder):
    (folder / "etc").mkdir()
    (folder / "etc" / "c.toml").write_text('[agents.a]\nfile = "a.py"\n[agents.b]\nfile = "/abs/b.py"\n')
    config = load(folder, COMITY_CONFIG="etc/c.toml", COMITY_AGENTS__C__FILE="c.py")
    files = {name: agent.file for name, agent in config.sections.agents.items()}
    assert files == {"a": f"{folder}/etc/a.py", "b": "/abs/b.py", "c": f"{folder}/c.py"}


def test_an_agents_budget_becomes_the_journals(folder):
    text = "[agents.a.budget]\nusd = 0.1\ntokens = 5\ncalls = { model = 2 }\n"
    budget = load(folder, text).sections.agents["a"].budget.budget()
    assert budget == Budget(tokens=5, usd_micro=100_000, calls={"model": 2})


def test_the_home_folder_is_made_for_its_owner_alone(folder):
    config = load(folder, COMITY_HOME="data")
    assert config.home == folder / "data"
    assert not config.home.exists()
    assert stat.S_IMODE(config.make_home().stat().st_mode) == 0o700
    assert config.make_home() == config.home
    assert config.source("home") == "env COMITY_HOME"


def test_a_home_folder_that_cannot_be_made_is_a_clear_error(folder):
    (folder / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        load(folder, COMITY_HOME="file/data").make_home()


def test_a_tools_effect_class_can_only_become_stricter():
    spec = ToolSpec("pay", effect=Effect.IDEMPOTENT, visible_within_s=1.0)
    assert ToolSection().applied(spec) == spec
    assert ToolSection(Effect.IRREVERSIBLE, 5.0).applied(spec).effect is Effect.IRREVERSIBLE
    assert ToolSection(Effect.IRREVERSIBLE, 5.0).applied(spec).visible_within_s == 5.0
    with pytest.raises(UsageError, match="may not be `read`: its author declared `idempotent`"):
        ToolSection(Effect.READ).applied(spec)
    with pytest.raises(UsageError, match="has nothing to do that with"):
        ToolSection(Effect.REVERSIBLE).applied(spec)
