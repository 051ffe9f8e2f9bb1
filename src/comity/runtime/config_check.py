"""What is fine alone and wrong together: stores, leases, upstreams and models that do not fit each other."""

from __future__ import annotations

from comity.core.errors import UsageError
from comity.runtime.config_keys import Tree, guess
from comity.runtime.config_models import check_models
from comity.runtime.config_sections import NodeSection, Sections, ServerSection
from comity.runtime.config_upstreams import check_agent, check_tool, check_upstream

STORE_SCHEMES = ("sqlite", "postgresql", "postgres")


def check(sections: Sections, tree: Tree) -> None:
    """Refuse what does not fit.

    Raises:
        UsageError: it names key, value and place.
    """
    _check_store(sections.store.url, tree.source(("store", "url")))
    _check_server(sections.server, tree)
    _check_node(sections.node, tree.source(("node", "lease_margin_s")))
    check_models(sections, tree)
    for name, server in sections.mcp_upstreams.items():
        check_upstream(name, server, tree)
    for name, tool in sections.tools.items():
        check_tool(name, tool, sections, tree)
    for name, agent in sections.agents.items():
        check_agent(name, agent, tree)


def _check_store(url: str, source: str) -> None:
    scheme, colon, _ = url.partition("://")
    if colon and scheme in STORE_SCHEMES:
        return
    hint = guess(scheme, STORE_SCHEMES) if colon else "for instance `sqlite:////var/lib/comity/comity.db`"
    text = f"`store.url`: unknown kind of store `{scheme[:40]}` ({source})"
    raise UsageError("bad_store_url", text, hint=hint)


def _check_server(server: ServerSection, tree: Tree) -> None:
    files = {"tls_cert_file": server.tls_cert_file, "tls_key_file": server.tls_key_file}
    given = [name for name, file in files.items() if file]
    if len(given) == 1:
        (missing,) = files.keys() - {*given}
        text = f"`server.{missing}` is missing ({tree.source(('server', given[0]))})"
        raise UsageError("missing_key", text, hint="TLS takes a certificate and its key")


def _check_node(node: NodeSection, source: str) -> None:
    if node.lease_margin_s >= node.lease_s:
        given = f"`{node.lease_margin_s:g}` and `{node.lease_s:g}`"
        text = f"`node.lease_margin_s` must be less than `node.lease_s`, not {given} ({source})"
        raise UsageError("bad_value", text, hint="a fifth of the lease is a good margin")
