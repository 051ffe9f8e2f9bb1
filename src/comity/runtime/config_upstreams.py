"""What does not fit in the sections of MCP upstreams, their tools, and outside programs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from comity.core.addresses import is_local
from comity.core.errors import UsageError
from comity.hands.mcp_settings import McpUpstream
from comity.journal.spec import Effect
from comity.runtime.config_keys import Tree, guess, shown
from comity.runtime.config_sections import AgentSection, Sections
from comity.runtime.config_tools import ToolSection

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_WINDOW = re.compile(r"[1-9]\d*[smhd]")
_ROLES = ("reconcile", "compensate", "verify")
_OWN = AgentSection()


def check_upstream(name: str, upstream: McpUpstream, tree: Tree) -> None:
    """Refuse an MCP upstream that cannot be reached, or only by giving secrets away.

    Raises:
        UsageError: it names key, value and place.
    """
    key = ("upstreams", name)
    if not NAME.fullmatch(name):
        raise _bad(key, f"`{name[:40]}` cannot be an upstream's name", tree, "use letters, digits, `_`, `-`")
    if bool(upstream.command) == bool(upstream.url) or upstream.command[:1] == ("",):
        text = f"`{shown(key)}` must have either a `command` or a `url`"
        raise _bad(key, text, tree, 'for instance `command = ["python", "server.py"]`')
    if upstream.command and upstream.headers_env:
        raise _bad((*key, "headers_env"), f"`{shown(key)}`: a command gets no headers", tree, "name `env` variables")
    if upstream.url and upstream.env:
        text = f"`{shown(key)}`: a server at a URL sees no environment"
        raise _bad((*key, "env"), text, tree, 'name headers: `headers_env = { Authorization = "VARIABLE" }`')
    if upstream.url:
        _check_url((*key, "url"), upstream, tree)
    for header in upstream.headers_env:
        if not _HEADER.fullmatch(header):
            raise _bad((*key, "headers_env"), f"`{header[:40]}` cannot be a header's name", tree, "correct it")
    for variable in upstream.variables:
        if not _VARIABLE.fullmatch(variable):
            text = f"`{shown(key)}`: `{variable[:40]}` cannot be an environment variable's name"
            raise _bad(key, text, tree, "name the variable that holds the secret")


def check_tool(name: str, section: ToolSection, sections: Sections, tree: Tree) -> None:
    """Refuse what is said of a tool where it means nothing, or leans on what is not there.

    Raises:
        UsageError: it names key, value and place.
    """
    key = ("tools", name)
    server, dot, _ = name.partition(".")
    if not dot:
        if section.foreign_keys:
            field = section.foreign_keys[0]
            text = f"`{shown((*key, field))}` is only for a tool of an upstream"
            raise _bad((*key, field), text, tree, f"declare it where `{name}` is defined: `@tool({field}=…)`")
        return
    if server not in sections.mcp_upstreams:
        text = f"`{shown(key)}`: there is no `[upstreams.{server}]` of kind `mcp`"
        raise _bad(key, text, tree, guess(server, sections.mcp_upstreams), "unknown_upstream")
    needed = {Effect.RECONCILABLE: "reconcile", Effect.REVERSIBLE: "compensate"}.get(section.effect or Effect.PURE, "")
    if needed and not getattr(section, needed):
        text = f"`{shown(key)}` is {section.effect} and names no `{needed}` tool"
        raise _bad(key, text, tree, f'add `{needed} = "{server}.…"`', "effect_unsupported")
    for role in _ROLES:
        _check_role((*key, role), getattr(section, role), sections, tree)
    if section.once_per and not section.once:
        raise _bad(
            (*key, "once_per"), f"`{shown(key)}` has `once_per` without `once`", tree, 'add `once = ["order.id"]`'
        )
    if section.once_per not in ("", "task", "session", "tenant") and not _WINDOW.fullmatch(section.once_per):
        text = f"`{shown((*key, 'once_per'))}` cannot be `{section.once_per[:40]}`"
        raise _bad((*key, "once_per"), text, tree, "`task`, `session`, `tenant`, or a window such as `24h`")


def check_agent(name: str, section: AgentSection, tree: Tree) -> None:
    """Refuse an agent's section that mixes a file with an outside program.

    Raises:
        UsageError: it names key, value and place.
    """
    key = ("agents", name)
    if section.kind == "outside":
        if section.file:
            text = f"`{shown(key)}` is outside and has no file"
            raise _bad((*key, "file"), text, tree, "leave `file` or `kind` out")
        if not NAME.fullmatch(name.replace(".", "-")):
            raise _bad(key, f"`{name[:40]}` cannot be an agent's name", tree, "use letters, digits, `_`, `-`, `.`")
        _check_outside((*key, "outside"), section, tree)
        return
    names = ("description", "version", "queue", "tools", "models", "agents", "outside")
    field = next((item for item in names if getattr(section, item) != getattr(_OWN, item)), "")
    if field:
        text = f"`{shown((*key, field))}` is only for an outside program"
        raise _bad((*key, field), text, tree, 'add `kind = "outside"`, or declare it in the agent\'s file')


def is_http(url: str, *, may_ask: bool = False) -> bool:
    """Tell whether `url` is an http or https URL of a server, with a query only where it may ask something."""
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_server and not parts.fragment and (may_ask or not parts.query)


def _check_outside(key: tuple[str, ...], section: AgentSection, tree: Tree) -> None:
    outside = section.outside
    for name in ("retry_join_s", "stalled_after_s"):
        if getattr(outside, name) < 0:
            given = f"`{getattr(outside, name):g}`"
            raise _bad((*key, name), f"`{shown((*key, name))}` must be at least 0, not {given}", tree, "correct it")
    for pattern in outside.volatile_text:
        try:
            re.compile(pattern)
        except re.error as error:
            text = f"`{shown((*key, 'volatile_text'))}`: `{pattern[:60]}` is no regular expression ({error})"
            raise _bad((*key, "volatile_text"), text, tree, "write it in single quotes") from None


def _check_url(key: tuple[str, ...], upstream: McpUpstream, tree: Tree) -> None:
    if not is_http(upstream.url, may_ask=True) or "@" in upstream.url:
        given = "that" if "@" in upstream.url else f"`{upstream.url[:60]}`"
        text = f"`{shown(key)}` must be an http or https URL, not {given}"
        raise _bad(key, text, tree, 'for instance `url = "https://mcp.example.com/mcp"`, without a user')
    if (
        upstream.headers_env
        and upstream.url.startswith("http:")
        and not is_local(urlsplit(upstream.url).hostname or "")
    ):
        text = f"`{shown(key)}` would carry its secret headers unencrypted"
        raise _bad(key, text, tree, "use https, or an address of a private network")


def _check_role(key: tuple[str, ...], tool: str, sections: Sections, tree: Tree) -> None:
    """Refuse a tool that cannot be there; whether one is, only its server or file can say."""
    server, dot, _ = tool.partition(".")
    if not tool or (server in sections.mcp_upstreams if dot else sections.server.tool_files):
        return
    text = f"`{shown(key)}` names `{tool[:80]}`, and nothing here offers it"
    hint = guess(server, sections.mcp_upstreams) if dot else "name it `SERVER.TOOL`, or add its file to `tool_files`"
    raise _bad(key, text, tree, hint, "no_such_tool")


def _bad(key: tuple[str, ...], text: str, tree: Tree, hint: str, code: str = "bad_value") -> UsageError:
    return UsageError(code, f"{text} ({tree.source(key)})", hint=hint)
