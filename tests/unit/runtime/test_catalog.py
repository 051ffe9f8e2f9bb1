"""The catalog: which tools programs may be offered, as what, and which calls of them are refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from comity.core.errors import UsageError
from comity.hands.mcp_descriptor import Descriptor
from comity.journal.spec import AgentSpec, Effect, Program, ToolSpec
from comity.runtime.catalog import Catalog, outside_spec
from comity.runtime.config import load_config
from comity.runtime.orders import grant_of
from comity.runtime.programs import LivePrograms, StoredPrograms, register_outside
from comity.testing import FakeClock, MemoryStore
from comity.testing.waiting import wait_until

CRM = '[upstreams.crm]\nkind = "mcp"\nurl = "https://crm.example.com/mcp"\n'
SCHEMA = {"type": "object", "properties": {"seats": {"type": "integer"}}}
BOOK = Descriptor("book", "Book", "Book a table.", SCHEMA, {"type": "object"}, {"idempotentHint": True})
FIND = Descriptor("find", description="Find a booking.", annotations={"readOnlyHint": True})
ODD = Descriptor("book", "Book", "Book a table, and more.", SCHEMA)


async def nothing(file: str) -> Program:
    raise AssertionError(file)


class Desk:
    """A catalog on a store in memory, and an upstream `crm` that the test plays."""

    def __init__(self, folder: Path, text: str, store: MemoryStore | None = None) -> None:
        (folder / "comity.toml").write_text(text)
        self.config = load_config({"HOME": str(folder)}, folder=folder)
        self.clock = FakeClock()
        self.store = store or MemoryStore(self.clock)
        self.catalog = Catalog(self.store, self.config, nothing, self.clock)

    async def offer(self, *descriptors: Descriptor) -> None:
        await self.catalog.listed("crm", "a", descriptors)

    @property
    def states(self) -> dict[str, str]:
        return {entry.spec.name: entry.state for entry in self.catalog.entries}


async def test_a_tool_of_an_upstream_is_irreversible_until_somebody_says_otherwise(tmp_path):
    desk = Desk(tmp_path, CRM)
    await desk.catalog.load()
    await desk.offer(BOOK, FIND)
    expected = ToolSpec(
        "crm.book",
        Effect.IRREVERSIBLE,
        "Book a table.",
        SCHEMA,
        server="crm",
        title="Book",
        output={"type": "object"},
        annotations={"idempotentHint": True},
    )
    assert desk.catalog.find("crm.book") == expected
    assert [tool.effect for tool in desk.catalog.tools] == [Effect.IRREVERSIBLE, Effect.IRREVERSIBLE]


async def test_a_trusted_servers_hints_are_its_tools_classes_where_the_configuration_says_nothing(tmp_path):
    text = CRM + 'trust_annotations = true\n[tools."crm.note"]\neffect = "irreversible"\n'
    desk = Desk(tmp_path, text)
    await desk.catalog.load()
    await desk.offer(BOOK, FIND, Descriptor("note", annotations={"readOnlyHint": True}), Descriptor("plain"))
    assert {tool.name: str(tool.effect) for tool in desk.catalog.tools} == {
        "crm.book": "idempotent",
        "crm.find": "read",
        "crm.note": "irreversible",
        "crm.plain": "irreversible",
    }


async def test_the_configuration_says_what_a_foreign_tool_is(tmp_path):
    text = '[tools."crm.book"]\neffect = "reconcilable"\nonce = ["seats"]\nreconcile = "crm.find"\nkey_argument = "k"\n'
    desk = Desk(tmp_path, CRM + text + '[tools."crm.find"]\neffect = "read"\n')
    await desk.catalog.load()
    await desk.offer(BOOK, FIND)
    book = desk.catalog.find("crm.book")
    assert book is not None
    assert (book.effect, book.once, book.reconcile, book.key_argument) == (
        Effect.RECONCILABLE,
        ("seats",),
        "crm.find",
        "k",
    )


@pytest.mark.parametrize(
    ("reconcile", "problem"),
    [
        ("crm.fnd", '`tools."crm.book".reconcile` names `crm.fnd`, which is no tool here; did you mean `crm.find`?'),
        ("crm.book", "`crm.book` is reconcilable"),
    ],
)
async def test_a_tool_that_leans_on_one_that_is_not_there_is_not_offered_and_says_why(tmp_path, reconcile, problem):
    text = f'[tools."crm.book"]\neffect = "reconcilable"\nreconcile = "{reconcile}"\n'
    desk = Desk(tmp_path, CRM + text)
    await desk.catalog.load()
    await desk.offer(BOOK, FIND)
    entry = desk.catalog.entry("crm.book")
    assert (entry.state, entry.is_offered) == ("misdeclared", False)
    assert problem in entry.problem
    assert desk.catalog.find("crm.book") is None
    refused = desk.catalog.refusal(entry.spec, BOOK)
    assert refused is not None
    assert refused.code == "misdeclared_tool"


async def test_a_section_of_a_tool_that_the_upstream_does_not_have_is_told(tmp_path, caplog):
    desk = Desk(tmp_path, CRM + '[tools."crm.bok"]\neffect = "read"\n')
    await desk.offer(BOOK)
    await desk.offer(BOOK)
    told = '`[tools."crm.bok"]`: the upstream has no such tool; did you mean `book`?'
    assert caplog.messages.count(told) == 1
    await desk.offer(BOOK, FIND)
    assert caplog.messages.count(told) == 2


async def test_a_changed_descriptor_is_refused_until_a_person_accepts_it(tmp_path):
    desk = Desk(tmp_path, CRM)
    await desk.catalog.load()
    await desk.offer(BOOK)
    spec = desk.catalog.find("crm.book")
    assert spec is not None
    assert desk.catalog.refusal(spec, BOOK) is None
    await desk.offer(ODD)
    assert desk.states == {"crm.book": "changed"}
    assert desk.catalog.tools == ()
    assert desk.catalog.find("crm.book") is None
    refused = desk.catalog.refusal(spec, ODD)
    assert refused is not None
    assert (refused.end, refused.code) == ("failed", "descriptor_changed")
    assert "comity tools accept crm.book" in refused.hint
    assert [entry.spec.name for entry in desk.catalog.pending()] == ["crm.book"]
    await desk.catalog.accept("crm.book", "ada")
    now = desk.catalog.find("crm.book")
    assert now is not None
    assert now.description == "Book a table, and more."
    assert desk.catalog.refusal(now, ODD) is None
    assert desk.catalog.refusal(spec, ODD) is None, "what a task began with still names the same tool"
    refused = desk.catalog.refusal(now, BOOK)
    assert refused is not None
    assert refused.code == "descriptor_changed"


async def test_a_tool_that_its_server_no_longer_has_is_refused_before_anything_is_sent(tmp_path):
    desk = Desk(tmp_path, CRM)
    await desk.offer(BOOK)
    spec = desk.catalog.find("crm.book")
    assert spec is not None
    refused = desk.catalog.refusal(spec, None)
    assert refused is not None
    assert (refused.end, refused.code) == ("failed", "no_such_tool")


async def test_a_task_that_knows_a_tool_as_harmless_may_not_call_it_once_it_is_not(tmp_path):
    desk = Desk(tmp_path, CRM + "trust_annotations = true\n")
    await desk.offer(FIND)
    spec = desk.catalog.find("crm.find")
    harmful = msgspec.structs.replace(FIND, annotations={})
    await desk.offer(harmful)
    await desk.catalog.accept("crm.find", "ada")
    assert spec is not None
    refused = desk.catalog.refusal(spec, harmful)
    assert refused is not None
    assert refused.code == "tool_changed"


async def test_a_new_node_knows_the_tools_though_their_upstream_is_away(tmp_path):
    first = Desk(tmp_path, CRM)
    await first.offer(BOOK)
    second = Desk(tmp_path, CRM, first.store)
    await second.catalog.load()
    assert second.catalog.tools == first.catalog.tools
    assert await second.catalog.is_known("crm", "a")


async def test_the_tools_of_an_upstream_that_is_no_longer_configured_are_gone(tmp_path):
    first = Desk(tmp_path, CRM)
    await first.offer(BOOK)
    second = Desk(tmp_path, "", first.store)
    await second.catalog.load()
    assert second.catalog.entries == ()


async def test_a_catalog_hears_of_what_others_accept(tmp_path):
    here, there = Desk(tmp_path, CRM), None
    told: list[int] = []
    here.catalog.on_change.append(lambda: told.append(len(here.catalog.tools)))
    await here.catalog.start()
    there = Desk(tmp_path, CRM, here.store)
    await there.offer(BOOK)
    await here.clock.wait_for_sleepers()
    await here.clock.advance(1.0)
    await wait_until(lambda: told == [0, 1])
    await here.clock.wait_for_sleepers()
    await here.clock.advance(1.0)
    assert told == [0, 1], "nothing has changed since"
    await here.catalog.close()


AGENT = '[agents.v]\nkind = "outside"\ntools = ["crm.b*"]\nmodels = ["gpt-*"]\nagents = ["clerk"]\n'


async def test_an_outside_program_is_granted_what_its_section_names(tmp_path):
    desk = Desk(tmp_path, CRM + AGENT)
    await desk.offer(BOOK, FIND)
    spec = outside_spec("v", desk.config, desk.catalog)
    assert (spec.kind, spec.tools, spec.models, spec.agents) == ("outside", ("crm.book",), ("gpt-*",), ("clerk",))
    free = outside_spec("anybody", desk.config, desk.catalog)
    assert (free.tools, free.models, free.agents) == (("crm.book", "crm.find"), ("*",), ())
    program = await desk.catalog.program(spec)
    grant = grant_of(program, spec, "ada")
    assert (grant.tools, grant.models, grant.agents, grant.given_by) == (("crm.book",), ("gpt-*",), ("clerk",), "ada")
    assert grant_of(program, free, "ada", ("crm.f*",)).tools == ("crm.find",)
    assert grant_of(program, free, "ada", ("crm.find",), "gpt-5").models == ("gpt-5",)
    with pytest.raises(UsageError, match=r"declares no tool `crm\.find`"):
        grant_of(program, spec, "ada", ("crm.find",))


async def test_a_registered_outside_program_is_found_as_it_is_configured_now(tmp_path):
    desk = Desk(tmp_path, CRM + AGENT)
    await desk.offer(BOOK, FIND)
    await register_outside(desk.store, "v", AgentSpec("v", "outside", tools=("old",)))
    await register_outside(desk.store, "free", AgentSpec("free", "outside", tools=("crm.find",)))
    for programs in (
        StoredPrograms(desk.store, desk.catalog.program),
        LivePrograms(desk.store, nothing, desk.config, desk.catalog.program),
    ):
        found = await programs.find("v")
        assert found is not None
        assert found.tools == desk.catalog.tools
        assert [(spec.tools, spec.models) for spec in found.agents] == [(("crm.book",), ("gpt-*",))]
        free = await programs.find("free")
        assert free is not None
        assert [spec.tools for spec in free.agents] == [("crm.find",)]
    alone = await StoredPrograms(desk.store).find("v")
    assert alone is not None
    assert alone.tools == ()
