"""Models in the configuration: several upstreams, patterns, and what the environment adds where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from comity.models.settings import Route
from comity.runtime.config import Config, load_config

OPENAI = {"OPENAI_API_KEY": "hush-one"}
ANTHROPIC = {"ANTHROPIC_API_KEY": "hush-two"}
TWO = """
[upstreams.a]
base_url = "http://127.0.0.1:1/v1"
[upstreams.b]
base_url = "http://127.0.0.1:2/v1"
kind = "anthropic"
[models."gpt-*"]
upstreams = [{ upstream = "a", weight = 3 }, { upstream = "b", model = "other" }]
"""


def load(folder: Path, text: str = "", **environment: str) -> Config:
    (folder / "comity.toml").write_text(text)
    return load_config({"HOME": str(folder / "user"), **environment}, folder=folder)


def test_a_model_may_have_several_upstreams_each_with_weight_and_id(tmp_path):
    config = load(tmp_path, TWO)
    assert config.model_settings.models["gpt-*"].routes == (Route("a", "", 3.0), Route("b", "other", 1.0))
    shown = {line.key: line for line in config.show()}
    assert shown['models."gpt-*".upstreams'].source == "comity.toml:8"
    assert '"weight":3.0' in shown['models."gpt-*".upstreams'].value
    assert shown["upstreams.b.kind"].value == '"anthropic"'


@pytest.mark.parametrize(
    ("environment", "models", "upstreams"),
    [
        ({}, {}, {}),
        (OPENAI, {"default": "environment", "*": "environment"}, {"environment": "https://api.openai.com/v1"}),
        (
            ANTHROPIC,
            {"claude-*": "environment-anthropic", "*": "environment-anthropic"},
            {"environment-anthropic": "https://api.anthropic.com/v1"},
        ),
        (
            {**OPENAI, "ANTHROPIC_BASE_URL": "http://127.0.0.1:3/"},
            {"default": "environment", "*": "environment", "claude-*": "environment-anthropic"},
            {"environment": "https://api.openai.com/v1", "environment-anthropic": "http://127.0.0.1:3/v1"},
        ),
    ],
)
def test_without_any_model_the_environment_gives_them(tmp_path, environment, models, upstreams):
    settings = load(tmp_path, **environment).model_settings
    assert {name: entry.upstream for name, entry in settings.models.items()} == models
    assert {name: upstream.base_url for name, upstream in settings.upstreams.items()} == upstreams


def test_what_the_environment_gives_says_where_it_comes_from_and_hides_its_keys(tmp_path):
    config = load(tmp_path, **OPENAI, **ANTHROPIC)
    sources = {line.key: line.source for line in config.show()}
    assert sources['models."claude-*".upstream'] == "env ANTHROPIC_API_KEY"
    assert sources['models."*".upstream'] == "env OPENAI_API_KEY"
    assert sources["upstreams.environment-anthropic.kind"] == "env ANTHROPIC_API_KEY"
    assert sources["upstreams.environment.kind"] == "default"
    assert config.secrets == ("hush-one", "hush-two")


def test_whoever_names_models_means_those_and_no_others(tmp_path):
    text = '[models.fast]\nscripted = "agent.py:answers"\n'
    settings = load(tmp_path, text, **OPENAI, **ANTHROPIC).model_settings
    assert set(settings.models) == {"fast", "default"}
    assert set(settings.upstreams) == {"environment"}


def test_an_anthropic_base_url_may_end_with_its_version(tmp_path):
    settings = load(tmp_path, ANTHROPIC_BASE_URL="http://127.0.0.1:3/v1").model_settings
    assert settings.upstreams["environment-anthropic"].base_url == "http://127.0.0.1:3/v1"
    assert settings.upstreams["environment-anthropic"].api_key_env == ""
