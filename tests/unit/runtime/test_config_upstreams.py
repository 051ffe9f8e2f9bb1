"""The sections of MCP upstreams, of their tools and of outside programs: what they take, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.hands.mcp_settings import McpUpstream
from comity.journal.spec import Effect, Outside, ToolSpec
from comity.models.settings import Upstream
from comity.runtime.config import Config, load_config

CRM = '[upstreams.crm]\nkind = "mcp"\nurl = "https://crm.example.com/mcp"\n'
TOOL = CRM + '[tools."crm.book"]\n'
AGENT = '[agents.v]\nkind = "outside"\n'


def load(folder: Path, text: str, **environment: str) -> Config:
    (folder / "comity.toml").write_text(text, encoding="utf-8")
    return load_config({"HOME": str(folder / "user"), **environment}, folder=folder)


def test_an_upstream_is_what_its_kind_says(tmp_path):
    model = '[upstreams.openai]\nbase_url = "http://127.0.0.1/v1"\napi_key_env = "KEY"\n'
    text = CRM + 'headers_env = { Authorization = "CRM_AUTH" }\n' + model
    config = load(tmp_path, text, CRM_AUTH="hush-hush-hush", KEY="sh-sh-sh")
    crm, openai = config.sections.upstreams["crm"], config.sections.upstreams["openai"]
    assert isinstance(crm, McpUpstream)
    assert isinstance(openai, Upstream)
    assert list(config.sections.mcp_upstreams) == ["crm"]
    assert list(config.model_settings.upstreams) == ["openai"]
    assert config.secrets == ("hush-hush-hush", "sh-sh-sh")
    assert config.source("upstreams", "crm", "headers_env", "Authorization") == "comity.toml:4"


def test_an_upstream_may_come_from_the_environment_alone(tmp_path):
    names = {"KIND": "mcp", "COMMAND": '["python", "server.py"]', "TRUST_ANNOTATIONS": "true", "ENV": "TOKEN"}
    config = load(tmp_path, "", **{f"COMITY_UPSTREAMS__CRM__{name}": value for name, value in names.items()})
    found = config.sections.upstreams["crm"]
    assert found == McpUpstream("mcp", ("python", "server.py"), env=("TOKEN",), trust_annotations=True)


def test_tool_files_are_found_from_the_files_folder(tmp_path):
    config = load(tmp_path, '[server]\ntool_files = ["tools.py", "/abs/more.py"]\n')
    assert config.sections.server.tool_files == (f"{tmp_path}/tools.py", "/abs/more.py")


def test_a_foreign_tool_is_what_its_section_says(tmp_path):
    text = TOOL + 'effect = "idempotent"\nonce = ["order.id"]\nkey_argument = "key"\nerror_means = "not_happened"\n'
    spec = load(tmp_path, text).sections.tools["crm.book"].declared(ToolSpec("crm.book", server="crm", title="Book"))
    assert (spec.effect, spec.once, spec.once_per) == (Effect.IDEMPOTENT, ("order.id",), "task")
    assert (spec.key_argument, spec.error_means, spec.title) == ("key", "not_happened", "Book")


def test_an_outside_program_has_a_section_without_a_file(tmp_path):
    text = AGENT + 'tools = ["book", "crm.*"]\n[agents.v.outside]\nvolatile_text = [\'\\d+\']\nretry_join_s = 0\n'
    section = load(tmp_path, text).sections.agents["v"]
    assert (section.tools, section.models, section.agents) == (("book", "crm.*"), ("*",), ())
    assert section.outside == Outside(volatile_text=("\\d+",), retry_join_s=0.0)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('[upstreams.x]\nkind = "mpc"', "`upstreams.x.kind` must be one of", "comity init"),
        ('[upstreams.x]\nurl = "https://x/mcp"', "unknown key `upstreams.x.url`", 'it belongs to `kind = "mcp"`'),
        ('[upstreams.x]\nkind = "mcp"', "`upstreams.x` must have either a `command` or a `url`", "command = "),
        (CRM + 'command = ["x"]', "must have either a `command` or a `url` (comity.toml:", "command = "),
        ('[upstreams.x]\nkind = "mcp"\ncommand = [""]', "must have either", "command = "),
        ('[upstreams."a.b"]\nkind = "mcp"\ncommand = ["x"]', "`a.b` cannot be an upstream's name", "letters"),
        (
            '[upstreams.x]\nkind = "mcp"\nurl = "crm:80"',
            "`upstreams.x.url` must be an http or https URL",
            "for instance",
        ),
        ('[upstreams.x]\nkind = "mcp"\nurl = "https://x/#a"', "must be an http or https URL", "for instance"),
        (CRM + 'env = ["A"]', "a server at a URL sees no environment (comity.toml:4)", "headers_env"),
        ('[upstreams.x]\nkind = "mcp"\ncommand = ["x"]\nheaders_env = { A = "B" }', "gets no headers", "`env`"),
        (CRM + 'headers_env = { "A B" = "C" }', "`A B` cannot be a header's name", "correct it"),
        (CRM + 'headers_env = { A = "" }', "`` cannot be an environment variable's name", "name the variable"),
        (
            '[upstreams.x]\nkind = "mcp"\nurl = "http://crm.example.com/"\nheaders_env = { A = "B" }',
            "`upstreams.x.url` would carry its secret headers unencrypted",
            "use https",
        ),
        ('[tools."crm.book"]\neffect = "read"', "there is no `[upstreams.crm]` of kind `mcp`", "there is nothing"),
        (CRM + '[tools."cmr.book"]\neffect = "read"', "there is no `[upstreams.cmr]`", "did you mean `crm`?"),
        (TOOL + 'effect = "reconcilable"', "is reconcilable and names no `reconcile` tool", 'reconcile = "crm.…"'),
        (TOOL + 'effect = "reversible"', "is reversible and names no `compensate` tool", 'compensate = "crm.…"'),
        (TOOL + 'reconcile = "cmr.find"', '`tools."crm.book".reconcile` names `cmr.find`', "did you mean `crm`?"),
        (TOOL + 'verify = "look"', '`tools."crm.book".verify` names `look`', "tool_files"),
        (TOOL + 'once_per = "day"\nonce = ["a"]', "cannot be `day`", "such as `24h`"),
        (TOOL + 'once_per = "24h"', "has `once_per` without `once`", "once ="),
        (TOOL + "key_window_s = -1", "must be a number of at least 0", "comity init"),
        ('[tools.pay]\nonce = ["a"]', "`tools.pay.once` is only for a tool of an upstream", "`@tool(once=…)`"),
        (AGENT + 'file = "a.py"', "`agents.v` is outside and has no file", "leave `file`"),
        ('[agents.v]\nfile = "a.py"\ntools = ["a"]', "`agents.v.tools` is only for an outside program", "kind"),
        ('[agents.v]\nkind = "inside"', "`agents.v.kind` must be one of `outside`", "comity init"),
        (AGENT + "[agents.v.outside]\nstalled_after_s = -1", "must be at least 0, not `-1`", "correct it"),
        (AGENT + "[agents.v.outside]\nvolatile_text = ['(']", "`(` is no regular expression", "single quotes"),
        ('[agents."a b"]\nkind = "outside"', "`a b` cannot be an agent's name", "letters"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place_and_the_way_out(tmp_path, text, message, hint):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert "(comity.toml:" in str(caught.value)
    assert hint in caught.value.hint


def test_a_header_of_a_url_names_a_variable_and_never_holds_the_secret(tmp_path):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, CRM + 'headers_env = { X-Api-Key = "Bearer a1b2c3d4" }\n')
    assert caught.value.code == "secret_in_config"
    assert "a1b2c3d4" not in str(caught.value)
    assert load(tmp_path, CRM + 'headers_env = { X-Api-Key = "CRM_KEY" }\n').secrets == ()
