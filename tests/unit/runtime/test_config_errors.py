"""What is wrong in a configuration: each is an error that names key, value, place and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.runtime.config import load_config
from comity.runtime.config_file import line_numbers

SECRET = "sk-" + "a1b2c3d4" * 4
UPSTREAM = '[upstreams.u]\nbase_url = "http://127.0.0.1/v1"\n'


def refused(folder: Path, text: str | bytes = "", **environment: str) -> UsageError:
    (folder / "comity.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        load_config({"HOME": str(folder / "user"), **environment}, folder=folder)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[node]\nworker = 1", "unknown key `node.worker` (comity.toml:2)", "did you mean `workers`?"),
        ("\n[modles.x]\na = 1", "unknown key `modles` (comity.toml:3)", "did you mean `models`?"),
        ("[policy]\nx = 1", "unknown key `policy.x` (comity.toml:2)", "there is nothing to set here yet"),
        ("[models.m]\nmodle = 'x'", "unknown key `models.m.modle` (comity.toml:2)", "did you mean `model`?"),
        ("[node]\nqueues = [\n'a',\n]\nx = 1", "unknown key `node.x` (comity.toml:5)", "known: "),
        ("node.workers = 0", "`node.workers` must be a whole number of at least 1, not `0` (comity.toml:1)", ""),
        ('[node]\nworkers = "3"', '`node.workers` must be a whole number of at least 1, not `"3"` (comity.toml:2)', ""),
        (
            "[node]\nworkers = true",
            "`node.workers` must be a whole number of at least 1, not `true` (comity.toml:2)",
            "",
        ),
        ("[node]\nlease_s = -1", "`node.lease_s` must be a number greater than 0, not `-1` (comity.toml:2)", ""),
        ("[node]\nlease_s = inf", "`node.lease_s` must be a finite number, not `inf` (comity.toml:2)", ""),
        ("[node]\nlease_s = nan", "`node.lease_s` must be a number greater than 0, not `nan` (comity.toml:2)", ""),
        ("[node]\nqueues = [1]", "`node.queues` must be a list, each item text in quotes, not `[1]`", ""),
        ("node = 3", "`node` must be a table, not `3` (comity.toml:1)", "[section]"),
        ("models = 3", "`models` must be a table, not `3` (comity.toml:1)", "[section]"),
        ("[limits.concurrency]\nk = 0", "`limits.concurrency.k` must be a whole number of at least 1", ""),
        ("[tools.t]\neffect = 'none'", "`tools.t.effect` must be one of `pure`, `read`", ""),
        ("[agents.a]\non_divergence = 'x'", "`agents.a.on_divergence` must be one of", ""),
        (
            "[prices.'gpt-4.1']\nusd_per_mtok_in = 1",
            '`prices."gpt-4.1".usd_per_mtok_out` is missing',
            "a number of at least 0",
        ),
        ("[node]\nlease_s = 1", "`node.lease_margin_s` must be less than `node.lease_s`, not `2` and `1`", "a fifth"),
        ("[store]\nurl = 'redis://x'", "`store.url`: unknown kind of store `redis` (comity.toml:2)", "known: "),
        ("[store]\nurl = 'sqlit:///x'", "`store.url`: unknown kind of store `sqlit`", "did you mean `sqlite`?"),
        ("[store]\nurl = '/tmp/x.db'", "`store.url`: unknown kind of store", "for instance `sqlite:"),
        (
            "[upstreams.u]\nbase_url = 'localhost:80'",
            "`upstreams.u.base_url` must be an http or https URL",
            "for instance",
        ),
        (
            "[upstreams.u]\nbase_url = 'http://[x'",
            "`upstreams.u.base_url` must be an http or https URL",
            "for instance",
        ),
        (
            UPSTREAM + "[models.m]\nupstream = 'uu'\nmodel = 'm'",
            "there is no `[upstreams.uu]` (comity.toml:4)",
            "did you mean `u`?",
        ),
        ("[models.m]\nmodel = 'm'", "`models.m.upstream` is missing", "`scripted`"),
        (
            UPSTREAM + "[models.m]\nupstream = 'u'\nupstreams = [{ upstream = 'u' }]",
            "`models.m` must have `upstream` or `upstreams`, not both (comity.toml:4)",
            "`weight`",
        ),
        (
            UPSTREAM + "[models.m]\nupstreams = [{ upstream = 'u' }, { upstream = 'uu' }]",
            "`models.m.upstreams`: there is no `[upstreams.uu]` (comity.toml:4)",
            "did you mean `u`?",
        ),
        (UPSTREAM + "[models.m]\nupstreams = [{ weight = 1 }]", "`models.m.upstreams` must be a list", ""),
        (UPSTREAM + "[models.m]\nupstreams = [{ upstream = 'u', weight = -1 }]", "`models.m.upstreams` must", ""),
        (UPSTREAM + "[models.m]\nscripted = 'f:n'\nupstreams = [{ upstream = 'u' }]", "`scripted` alone", "FILE:NAME"),
        (UPSTREAM + "kind = 'azure'", "`upstreams.u.kind` must be one of `anthropic`, `mcp`, `openai`", ""),
        ("[models.m]\nscripted = 'file.py'", "`models.m` must have `scripted` alone", "FILE:NAME"),
        (
            UPSTREAM + "[models.m]\nscripted = 'f:n'\nupstream = 'u'",
            "`models.m` must have `scripted` alone",
            "FILE:NAME",
        ),
        ("[models.'']\nmodel = 'm'", "named with 1 to 200 characters", ""),
    ],
)
def test_a_bad_key_or_value_is_named_with_its_place_and_the_way_out(tmp_path, text, message, hint):
    error = refused(tmp_path, text)
    assert message in str(error)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1\nb = \n", "comity.toml:2"),
        ("a = 1\na = 2\n", "comity.toml:2"),
        ("[x\n", "comity.toml:1"),
        ("x = '", "comity.toml:1"),
    ],
)
def test_what_is_no_toml_is_named_with_its_line(tmp_path, text, place):
    error = refused(tmp_path, text)
    assert error.code == "bad_toml"
    assert place in str(error)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    assert "not UTF-8" in str(refused(tmp_path, b"\xff\xfe"))


def test_a_named_file_that_is_not_there_is_refused(tmp_path):
    assert str(refused(tmp_path, COMITY_CONFIG="no.toml")) == "`no.toml`, named by COMITY_CONFIG, is no file"
    with pytest.raises(UsageError, match="named by --config"):
        load_config({}, file="no.toml", folder=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"[upstreams.u]\nbase_url = 'http://x/v1'\napi_key = '{SECRET}'",
        f"[upstreams.u]\nbase_url = 'http://x/v1'\napi_key_env = '{SECRET}'",
        f"[upstreams.u]\nbase_url = 'http://user:{SECRET}@x/v1'",
        f"[node]\nhand_env = ['A={SECRET}']",
        f"[store]\nurl = 'postgresql://u:{SECRET}@db/x'",
        "[store]\nurl = 'postgresql://u:hush-hush@db/x'",
        "[store]\nurl = 'postgresql://db/x?user=u&password=hush-hush&sslmode=require'",
        "[upstreams.u]\nbase_url = 'http://x/v1'\nproxy = 'http://u:hush-hush@p:1'",
        f"[models.m]\nmodel = '{SECRET}'",
        f"[anything]\npassword = '{SECRET}'",
    ],
)
def test_a_secret_in_the_file_is_refused_and_never_shown(tmp_path, text):
    error = refused(tmp_path, text)
    assert error.code == "secret_in_config"
    assert "environment" in error.hint
    assert SECRET not in f"{error} {error.hint}"
    assert "hush" not in f"{error} {error.hint}"
    assert "comity.toml:" in str(error)


@pytest.mark.parametrize(
    ("variable", "value", "message", "hint"),
    [
        ("COMITY_NODE__WORKRS", "1", "unknown key `node.workrs` (`COMITY_NODE__WORKRS`)", "did you mean `workers`?"),
        ("COMITY_NOD__WORKERS", "1", "unknown key `nod` (`COMITY_NOD__WORKERS`)", "did you mean `node`?"),
        ("COMITY_NODE__WORKERS", "many", "must be a whole number of at least 1", "comity init"),
        ("COMITY_NODE__WORKERS__X", "1", "`node.workers` has no key `x`", "it is a value"),
        ("COMITY_MODELS__X", "1", "`COMITY_MODELS__X` names a whole section", "COMITY_NODE__WORKERS"),
        ("COMITY_NODE__", "1", 'unknown key `node.""`', "known: "),
    ],
)
def test_a_bad_variable_is_named(tmp_path, variable, value, message, hint):
    error = refused(tmp_path, "", **{variable: value})
    assert message in str(error)
    assert hint in error.hint


def test_every_key_and_table_is_found_on_its_line():
    text = (
        '# a\n[a]\nb = """\n[no]\nc = 1\n"""\nd.e = 1\n\n[a."x.y"]\nf = [\n  1,\n]\n[g]\nh = { i = 1 }\n[[j]]\nk = 2\n'
    )
    found = line_numbers(text)
    assert found["a",] == 2
    assert found["a", "b"] == 3
    assert found["a", "d", "e"] == 7
    assert found["a", "x.y"] == 9
    assert found["a", "x.y", "f"] == 10
    assert found["g", "h", "i"] == 14
    assert found["j", "k"] == 16
    assert ("no",) not in found
