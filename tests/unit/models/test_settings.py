"""What the environment says of models."""

from __future__ import annotations

from comity.models.settings import ModelEntry, Route, Upstream, from_environment


def test_an_environment_without_their_variables_says_nothing():
    assert not from_environment({}).models
    assert not from_environment({"OPENAI_MODEL": "m"}).models


def test_openais_variables_give_the_default_model_and_every_name():
    found = from_environment({"OPENAI_BASE_URL": " http://127.0.0.1/v1 ", "OPENAI_API_KEY": "k", "OPENAI_MODEL": "m"})
    assert found.models == {"default": ModelEntry("environment", "m"), "*": ModelEntry("environment")}
    upstream = Upstream("http://127.0.0.1/v1", api_key_env="OPENAI_API_KEY", allow_private=True)
    assert found.upstreams == {"environment": upstream}
    assert found.sources == {"environment": "OPENAI_BASE_URL", "default": "OPENAI_BASE_URL", "*": "OPENAI_BASE_URL"}


def test_anthropics_variables_give_its_names_and_every_other_where_nobody_else_does():
    alone = from_environment({"ANTHROPIC_API_KEY": "k"})
    assert set(alone.models) == {"claude-*", "*"}
    assert alone.upstreams == {
        "environment-anthropic": Upstream("https://api.anthropic.com/v1", "anthropic", "ANTHROPIC_API_KEY")
    }
    both = from_environment({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"})
    assert both.models["*"] == ModelEntry("environment")
    assert both.sources["*"] == "OPENAI_API_KEY"
    assert both.models["claude-*"] == ModelEntry("environment-anthropic")


def test_a_model_goes_one_way_or_several():
    assert ModelEntry("u", "m").routes == (Route("u", "m"),)
    several = ModelEntry(model="m", upstreams=(Route("a", weight=3.0), Route("b", "n")))
    assert several.routes == (Route("a", "m", 3.0), Route("b", "n"))
    assert ModelEntry(scripted="f:n").routes == ()


def test_an_upstream_speaks_the_formats_of_its_kind():
    wires = ("", "chat", "responses", "messages")
    assert [Upstream("u").speaks(wire) for wire in wires] == [True, True, True, False]
    assert [Upstream("u", "anthropic").speaks(wire) for wire in wires] == [False, False, False, True]
