"""What a program's environment holds: an allow-list of its user's, where the gateway is, and what was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from comity.core.errors import UsageError
from comity.runtime.words import one_line

if TYPE_CHECKING:
    from comity.server.documents import AdoptDocument

ALLOWED = frozenset(
    {
        # who and where
        *("HOME", "LOGNAME", "PATH", "PWD", "SHELL", "TMPDIR", "TZ", "USER", "LANG", "LANGUAGE"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "LD_LIBRARY_PATH"),
        # the terminal
        *("CLICOLOR", "COLORTERM", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TERM", "TERM_PROGRAM"),
        # interpreters and their libraries
        *("CONDA_DEFAULT_ENV", "CONDA_PREFIX", "VIRTUAL_ENV"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONPATH", "PYTHONUNBUFFERED"),
        *("PYTHONUTF8", "PYTHONWARNINGS"),
        *("NODE_ENV", "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS"),
        *("SSL_CERT_DIR", "SSL_CERT_FILE", "HF_HOME", "PIP_CACHE_DIR", "UV_CACHE_DIR"),
    }
)
"""Of no provider and no cloud, and nothing that holds a key by its meaning."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{([a-z]+)(?::([A-Za-z0-9_-]+))?\}")
_KNOWN = ("mcp", "openai", "anthropic", "token", "task")


def scrubbed(environment: Mapping[str, str], passed: Iterable[str], secret: Iterable[str]) -> dict[str, str]:
    """Return the part of `environment` that any program gets, with the variables that are `passed` by name.

    Raises:
        UsageError: one of these is not set, or holds what is `secret`: Comity's own, and the server's keys.
    """
    kept = {name: value for name, value in environment.items() if name in ALLOWED or name.startswith("LC_")}
    for name in passed:
        if name.startswith("COMITY_") or name in secret:
            hint = "keys stay with the server: the program's calls go through it"
            raise UsageError("secret_variable", f"`{one_line(name, 60)}` is not passed to programs", hint=hint)
        if name not in environment:
            text = f"`--pass-env {one_line(name, 60)}`: there is no such variable"
            raise UsageError("no_such_variable", text, hint=f"set it: `export {one_line(name, 60)}=…`")
        kept[name] = environment[name]
    return kept


def read_assignments(texts: Iterable[str]) -> dict[str, str]:
    """Return the variables of `NAME=VALUE`, whose placeholders are known.

    Raises:
        UsageError: one is no assignment, or has an unknown placeholder.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            hint = "for instance `--env MCP_SERVER_URL={mcp}`"
            raise UsageError("bad_assignment", f"`--env {one_line(text, 60)}` is not NAME=VALUE", hint=hint)
        for placeholder, part in _PLACEHOLDER.findall(value):
            if placeholder not in _KNOWN or (part and placeholder != "mcp"):
                hint = "known are {mcp}, {mcp:SERVER}, {openai}, {anthropic}, {token} and {task}"
                shown = f"{{{placeholder}:{part}}}" if part else f"{{{placeholder}}}"
                raise UsageError("no_such_placeholder", f"`--env {name}`: unknown placeholder `{shown}`", hint=hint)
        found[name] = value
    return found


def where_the_gateway_is(adopted: AdoptDocument, assigned: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that lead a program to model and tools, and `assigned` with placeholders filled in.

    The tool URL, and the URLs of placeholders, carry the token in their path, for clients that send no key.
    """
    urls, base = adopted.urls, adopted.urls.anthropic
    own = f"{base}/t/{adopted.token}"
    values = {
        "mcp": f"{own}/mcp",
        "openai": f"{own}/v1",
        "anthropic": own,
        "token": adopted.token,
        "task": adopted.task,
    }

    def value(found: re.Match[str]) -> str:
        name, part = found.groups()
        return f"{values[name]}/{part}" if part else values[name]

    return {
        "OPENAI_BASE_URL": urls.openai,
        "OPENAI_API_KEY": adopted.token,
        "ANTHROPIC_BASE_URL": urls.anthropic,
        "ANTHROPIC_API_KEY": adopted.token,
        "COMITY_MCP_URL": values["mcp"],
        "COMITY_TASK": adopted.task,
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        **{name: _PLACEHOLDER.sub(value, text) for name, text in assigned.items()},
    }
