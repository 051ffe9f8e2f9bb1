"""From an agent file to a registered program: its code is loaded in a process of its own, never in the command's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from comity.core.errors import UsageError
from comity.journal.spec import AgentSpec, Program
from comity.runtime.config import Config
from comity.runtime.config_keys import guess
from comity.runtime.programs import configured, with_agents
from comity.runtime.zygote import ZygoteSettings
from comity.runtime.zygotes import Zygotes


@asynccontextmanager
async def reader_of_files() -> AsyncIterator[Zygotes]:
    """Give processes that load agent files, and end them; what a file prints while it is loaded is left out."""
    zygotes = Zygotes(ZygoteSettings(lambda _who, _line: None))
    try:
        yield zygotes
    finally:
        await zygotes.close()


async def read_program(zygotes: Zygotes, file: str, config: Config) -> Program:
    """Return what an agent file offers, with what the configuration says of its agents and tools.

    Raises:
        UsageError: it is not there, cannot be loaded, offers no agent, or the configuration does not fit it.
    """
    return configured(with_agents(await zygotes.describe(_found(file))), config)


def choose(program: Program, name: str, file: str) -> AgentSpec:
    """Return the agent of that name; where none was named, the only one.

    Raises:
        UsageError: there is none of that name, or several and none was named.
    """
    names = [spec.name for spec in program.agents]
    if name:
        spec = program.agent(name)
        if spec is None:
            raise UsageError("no_such_agent", f"`{file}` offers no agent `{name}`", hint=guess(name, names))
        return spec
    if len(names) > 1:
        listed = ", ".join(f"`{file}:{item}`" for item in names)
        raise UsageError("which_agent", f"`{file}` offers {len(names)} agents", hint=f"name one: {listed}")
    return program.agents[0]


def _found(file: str) -> str:
    path = Path(file).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise UsageError("no_agent_file", f"agent file `{file}` {what}", hint=_near(path))
    return str(path.absolute())


def _near(path: Path) -> str:
    folder = path.parent
    names = [item.name for item in folder.glob("*.py")] if folder.is_dir() else []
    return guess(path.name, names) if names else "give the path of a Python file, as `FILE.py` or `FILE.py:AGENT`"
