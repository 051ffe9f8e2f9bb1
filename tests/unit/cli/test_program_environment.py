"""A program's environment: what of its user's it sees, what it never sees, and where it finds the gateway."""

from __future__ import annotations

import pytest

from comity.cli.program_environment import read_assignments, scrubbed, where_the_gateway_is
from comity.core.errors import UsageError
from comity.server.order_operations import AdoptDocument, Urls

BASE = "http://127.0.0.1:7117"
ADOPTED = AdoptDocument("01890000-0000-7000-8000-000000000000", 2, "ct_x", Urls(f"{BASE}/v1", BASE, f"{BASE}/mcp"))
SECRETS = {
    "OPENAI_API_KEY": "sk-1",
    "ANTHROPIC_API_KEY": "sk-2",
    "COMITY_TOKEN": "co_1",
    "AWS_SECRET_ACCESS_KEY": "a",
    "GITHUB_TOKEN": "ghp_1",
    "COMITY_STORE__URL": "postgresql://u:p@h/db",
    "HTTPS_PROXY": "http://u:p@proxy",
    "SSH_AUTH_SOCK": "/run/agent",
}


def test_what_programs_need_is_kept_and_all_else_is_not() -> None:
    kept = {"PATH": "/bin", "HOME": "/home/ada", "LC_ALL": "C", "VIRTUAL_ENV": "/venv", "TERM": "xterm"}
    assert scrubbed({**kept, **SECRETS}, (), ()) == kept


def test_a_variable_is_passed_on_by_name() -> None:
    assert scrubbed({"COLOUR": "blue", "SHADE": "dark"}, ("COLOUR",), ()) == {"COLOUR": "blue"}


@pytest.mark.parametrize("name", ["COMITY_TOKEN", "COMITY_STORE__URL", "OPENAI_API_KEY"])
def test_the_servers_own_keys_are_not_passed_on(name: str) -> None:
    with pytest.raises(UsageError, match=f"`{name}` is not passed to programs"):
        scrubbed(SECRETS, (name,), {"OPENAI_API_KEY"})


def test_a_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(UsageError, match="`--pass-env COLOUR`: there is no such variable") as caught:
        scrubbed({}, ("COLOUR",), ())
    assert caught.value.hint == "set it: `export COLOUR=…`"


def test_urls_and_key_stand_where_client_libraries_look() -> None:
    assert where_the_gateway_is(ADOPTED, {}) == {
        "OPENAI_BASE_URL": f"{BASE}/v1",
        "OPENAI_API_KEY": "ct_x",
        "ANTHROPIC_BASE_URL": BASE,
        "ANTHROPIC_API_KEY": "ct_x",
        "COMITY_MCP_URL": f"{BASE}/t/ct_x/mcp",
        "COMITY_TASK": ADOPTED.task,
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{mcp}", f"{BASE}/t/ct_x/mcp"),
        ("{mcp:shop}", f"{BASE}/t/ct_x/mcp/shop"),
        ("{openai}", f"{BASE}/t/ct_x/v1"),
        ("{anthropic}", f"{BASE}/t/ct_x"),
        ("Bearer {token}", "Bearer ct_x"),
        ("{task}/{task}", f"{ADOPTED.task}/{ADOPTED.task}"),
        ('{"a": 1}', '{"a": 1}'),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_placeholders_are_filled_in(text: str, value: str) -> None:
    assert where_the_gateway_is(ADOPTED, read_assignments([f"NAME={text}"]))["NAME"] == value


def test_what_is_assigned_wins() -> None:
    assert where_the_gateway_is(ADOPTED, {"OPENAI_BASE_URL": "{openai}"})["OPENAI_BASE_URL"] == f"{BASE}/t/ct_x/v1"


@pytest.mark.parametrize("text", ["NAME", "=x", "1A=x", "A B=x", "A-B=x", ""])
def test_what_is_no_assignment_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=VALUE"):
        read_assignments([text])


@pytest.mark.parametrize("placeholder", ["{mpc}", "{openai:x}", "{key}"])
def test_an_unknown_placeholder_is_an_error(placeholder: str) -> None:
    with pytest.raises(UsageError, match=f"unknown placeholder `{placeholder}`") as caught:
        read_assignments([f"NAME={placeholder}"])
    assert "{mcp}" in caught.value.hint
