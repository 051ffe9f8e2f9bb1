"""What the processes of this folder have in common: a port of their own, and an end with whoever started them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from typing import Any

from tally.client import VARIABLE


def end_with_parent() -> None:
    """End this process when its standard input is closed: whoever started it is gone."""
    threading.Thread(target=lambda: os._exit(0 if sys.stdin.read() else 1), daemon=True).start()


def announce(port: int) -> None:
    """Tell whoever started this process where it listens."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def serve(app: Any) -> None:
    """Serve an ASGI app on a free port of this machine until killed."""
    import uvicorn

    end_with_parent()
    listening = socket.create_server(("127.0.0.1", 0))
    announce(listening.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


async def tell_tally(op: str, **given: Any) -> Any:
    """Say one thing to the tally, and return its answer; whoever is cancelled at a gate has not passed it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ[VARIABLE]))
    try:
        writer.write(json.dumps({"op": op, **given}).encode() + b"\n")
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ConnectionResetError("the tally closed the connection")
    return json.loads(line)


async def act(name: str, args: dict[str, Any], key: str = "") -> int:
    """Cause an effect in the tally between its two gates; with a key as a provider does that goes by keys."""
    await tell_tally("pass", gate=f"before {name} {args['ref']}")
    number: int = await tell_tally("act", name=name, key=key, args=args, by_key=bool(key))
    await tell_tally("pass", gate=f"after {name} {args['ref']}")
    return number
