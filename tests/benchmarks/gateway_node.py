"""The node that is measured: `python -m benchmarks.gateway_node FOLDER UPSTREAM_URL TASKS`, until its input ends.

The real server of a real node on SQLite, with outside tasks that are adopted; its line says where, with which tokens,
and what the figures depend on. For each line that it reads it adopts the first task again, and says the new token.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


async def serve(folder: Path, upstream: str, tasks: int) -> None:
    """Serve until the input ends."""
    from comity.gateway.tokens import TaskTokens
    from comity.journal.spec import AgentSpec
    from comity.runtime.config import load_config
    from comity.runtime.node import Node
    from comity.runtime.orders import Orders, grant_of
    from comity.runtime.programs import register_outside
    from comity.server.assembly import server_of
    from comity.server.auth import Operators
    from comity.server.listening import listen
    from comity.stores.open import open_store

    (folder / "comity.toml").write_text(
        f'[upstreams.fake]\nbase_url = "{upstream}/v1"\n[models."*"]\nupstream = "fake"\n'
    )
    settings = {"COMITY_HOME": str(folder), "COMITY_SERVER__PORT": "0", "COMITY_CONFIG": str(folder / "comity.toml")}
    config = load_config(settings)
    config.make_home()
    store = open_store(config.sections.store.url)
    await store.open()
    node = Node(config, store, {})
    server = await server_of(node, listen(config.sections.server), Operators(store, node.clock, node.entropy))
    await node.start()
    await server.start()
    await register_outside(store, "measured", AgentSpec("measured", "outside", models=("*",)))
    program = await node.programs.find("measured")
    assert program is not None
    orders, tokens = Orders(store, node.clock, node.entropy, "bench"), await TaskTokens.of_store(store, node.entropy)
    made = [
        await orders.create(program, "measured", "", grant=grant_of(program, program.agents[0], "bench"))
        for _ in range(tasks)
    ]

    async def adopted(task: bytes) -> str:
        incarnation = await orders.adopt(task, renew=True)
        node.kernel.poke(task)
        return tokens.mint(task, incarnation)

    loop = asyncio.get_running_loop()
    told = {**(await store.settings()), "loop": type(loop).__module__.partition(".")[0]}  # type: ignore[attr-defined]
    say({"url": server.url, "tokens": [await adopted(task) for task in made], "settings": told})
    while await loop.run_in_executor(None, sys.stdin.readline):
        say(await adopted(made[0]))
    await server.close()
    await node.close()
    await store.close()


def say(value: Any) -> None:
    """Tell whoever started this."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    """Run a node."""
    import uvloop

    uvloop.run(serve(Path(arguments[0]), arguments[1], int(arguments[2])))


if __name__ == "__main__":
    main(sys.argv[1:])
