"""Tool files: Python files of tools without agents, loaded in processes of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comity.core.errors import UsageError
from comity.journal.spec import Effect
from comity.runtime.config import load_config
from comity.runtime.tool_files import ToolFiles
from comity.runtime.zygote import ZygoteSettings
from comity.runtime.zygotes import Zygotes

HEAD = "import comity\n\n"
BOOK = '@comity.tool(effect="idempotent")\ndef book(seats: int) -> int:\n    """Book a table."""\n    return seats\n'


@asynccontextmanager
async def shelf(folder: Path, files: dict[str, str], text: str = "") -> AsyncIterator[ToolFiles]:
    for name, source in files.items():
        (folder / name).write_text(HEAD + source)
    (folder / "comity.toml").write_text(f"[server]\ntool_files = {list(files)}\n{text}")
    zygotes = Zygotes(ZygoteSettings(lambda _who, _line: None))
    try:
        yield ToolFiles(load_config({"HOME": str(folder)}, folder=folder), zygotes.describe)
    finally:
        await zygotes.close()


async def test_a_file_of_tools_needs_no_agent_and_its_tools_know_it(tmp_path):
    async with shelf(tmp_path, {"tools.py": BOOK}, '[tools.book]\neffect = "irreversible"\n') as files:
        await files.load()
        (tool,) = files.tools
        assert (tool.name, tool.file, tool.server) == ("book", f"{tmp_path}/tools.py", "")
        assert (tool.effect, tool.description) == (Effect.IRREVERSIBLE, "Book a table.")
        assert not await files.reload()


@pytest.mark.parametrize(
    ("files", "text", "message"),
    [
        ({"a.py": "x = 1\n"}, "", "offers no agent and no tool"),
        ({"a.py": "@comity.agent\nasync def clerk(ctx, goal): ...\n"}, "", "offers no tool"),
        ({"a.py": BOOK, "b.py": BOOK}, "", "both offer a tool `book`"),
        ({"a.py": BOOK.replace("book", "comity_book")}, "", "such names are Comity's own"),
        ({"a.py": BOOK}, '[tools.book]\neffect = "read"\n', "may not be `read`"),
        ({"a.py": "1 / 0\n"}, "", "ZeroDivisionError"),
    ],
)
async def test_a_file_that_cannot_be_offered_is_refused(tmp_path, files, text, message):
    async with shelf(tmp_path, files, text) as made:
        with pytest.raises(UsageError, match=message) as caught:
            await made.load()
        assert caught.value.hint


async def test_an_edited_file_is_read_again_and_a_broken_one_stays_as_it_was(tmp_path, caplog):
    async with shelf(tmp_path, {"tools.py": BOOK}) as files:
        await files.load()
        (tmp_path / "tools.py").write_text(HEAD + BOOK + BOOK.replace("book", "cancel"))
        assert await files.reload()
        assert [tool.name for tool in files.tools] == ["book", "cancel"]
        (tmp_path / "tools.py").write_text("def (")
        await files.reload()
        assert [tool.name for tool in files.tools] == ["book", "cancel"]
        assert "stays as it was" in caplog.text
        assert not await files.reload(), "it is told once"
