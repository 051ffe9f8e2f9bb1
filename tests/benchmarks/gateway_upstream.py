"""A model server that costs next to nothing: `python -m benchmarks.gateway_upstream`, until its input ends."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
MESSAGE = {"role": "assistant", "content": "hello"}
PLAIN = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "usage": USAGE,
        "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    }
).encode()
HEAD = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
PIECES = [
    {**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}}]},
    {**HEAD, "choices": [{"index": 0, "delta": {"content": "lo"}}]},
    {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {**HEAD, "choices": [], "usage": USAGE},
]
EVENTS = [b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in PIECES]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer one request."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    is_stream = b'"stream": true' in body or b'"stream":true' in body
    kind = b"text/event-stream" if is_stream else b"application/json"
    headers = [(b"content-type", kind)] + ([] if is_stream else [(b"content-length", str(len(PLAIN)).encode())])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if is_stream:
        for event in EVENTS:
            await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n" if is_stream else PLAIN})


async def serve() -> None:
    """Serve until the input ends."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", loop="none"))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
