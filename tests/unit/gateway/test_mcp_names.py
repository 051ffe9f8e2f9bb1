"""Names of tools: one each, fit for models, the same whatever the order, and bare wherever that is enough."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from comity.gateway.mcp_names import names_at, original_name, shown_names
from comity.journal.spec import ToolSpec

FIT = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TAKEN = {"comity_wait", "comity_finish"}

texts = st.sampled_from(["a", "b", "a_b", "b.a", "ä", "x" * 70, "comity_wait", "a_a"]) | st.text(max_size=5)
specs = st.builds(
    lambda server, name: ToolSpec(f"{server}.{name}" if server else name, server=server),
    st.sampled_from(["", "a", "b", "a_a", "s" * 70]),
    texts,
)
tools = st.lists(specs, max_size=12, unique_by=lambda spec: spec.name)


@given(tools)
def test_each_tool_has_one_name_of_its_own_that_every_model_takes(known: list[ToolSpec]) -> None:
    names = shown_names(known, TAKEN)
    assert sorted(spec.name for spec in names.values()) == sorted(spec.name for spec in known)
    assert all(FIT.fullmatch(name) for name in names)
    assert not TAKEN & names.keys()


@given(tools, st.randoms(use_true_random=False))
def test_the_order_of_tools_does_not_matter(known: list[ToolSpec], random: object) -> None:
    mixed = list(known)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert list(shown_names(mixed, TAKEN).items()) == list(shown_names(known, TAKEN).items())


@given(tools)
@example([ToolSpec("a.search", server="a"), ToolSpec("b.find", server="b")])
def test_a_name_that_is_fit_and_nobody_else_has_is_shown_bare(known: list[ToolSpec]) -> None:
    count = Counter(re.sub(r"[^a-zA-Z0-9_-]", "_", original_name(spec))[:64] or "_" for spec in known)
    prefixed = {f"{spec.server}_{original_name(spec)}" for spec in known}
    names = shown_names(known, TAKEN)
    for spec in known:
        bare = original_name(spec)
        if FIT.fullmatch(bare) and count[bare] == 1 and bare not in TAKEN | prefixed:
            assert names[bare] == spec


def test_all_servers_tools_of_one_name_are_told_apart_by_their_server() -> None:
    known = [
        ToolSpec("web.search", server="web"),
        ToolSpec("crm.search", server="crm"),
        ToolSpec("crm.buy", server="crm"),
    ]
    assert list(shown_names(known)) == ["buy", "crm_search", "web_search"]


def test_a_tool_of_a_file_keeps_its_name_beside_a_servers() -> None:
    assert list(shown_names([ToolSpec("search"), ToolSpec("web.search", server="web")])) == ["search", "web_search"]


def test_no_tool_takes_the_name_of_one_of_ours() -> None:
    names = shown_names([ToolSpec("x.comity_wait", server="x"), ToolSpec("comity_finish")], TAKEN)
    assert [spec.name for spec in names.values()] == ["comity_finish", "x.comity_wait"]
    assert "x_comity_wait" in names
    assert TAKEN.isdisjoint(names)


def test_what_clashes_even_with_its_server_gets_digits() -> None:
    known = [ToolSpec("a.b.c", server="a"), ToolSpec("a_b.c", server="a_b"), ToolSpec("a.b_c", server="a")]
    names = shown_names(known)
    assert len(names) == 3
    assert all(name.startswith(("a_b_c", "b_c", "c")) for name in names)


def test_at_one_server_names_are_as_they_are_there() -> None:
    known = [ToolSpec("crm.buy it!", server="crm"), ToolSpec("web.buy", server="web"), ToolSpec("buy")]
    assert list(names_at("crm", known)) == ["buy it!"]
