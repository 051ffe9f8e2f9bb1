"""The scripted upstream: a process that speaks three wire formats, plain and as events, and counts its thoughts.

Each thought is an effect in the tally: name `thought`, `ref` the goal's reference and the number of tool results it
saw (`r7/2`), `seen` a digest of these. Its gates are the tally's: `before thought r7/2` (nothing was thought yet),
`after thought r7/2` (not a byte went out), `middle r7/2` (half of it is out). `POST /faults` plans failures. Run as
`python -m conformance.upstream`; it prints its port, and each request as a line of JSON on standard error.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from conformance import wires
from conformance.script import reference, think
from conformance.serving import act, serve, tell_tally

PATHS = {"/v1/chat/completions": "chat", "/v1/responses": "responses", "/v1/messages": "messages"}
MODELS = ("gpt-4.1", "claude-sonnet-4-5")


class Faults:
    """Planned failures: of a thought (`r7/2`) a kind and how often.

    Kinds: a status (`503`), `close` (in the middle of the answer), `garbage` (events that are none).
    """

    def __init__(self) -> None:
        self._planned: dict[str, tuple[str, int]] = {}

    def plan(self, thought: str, kind: str, times: int) -> None:
        """Plan one."""
        self._planned[thought] = (kind, times)

    def take(self, thought: str) -> str:
        """Return the kind of failure that this request meets, empty where it meets none."""
        kind, left = self._planned.get(thought, ("", 0))
        if left:
            self._planned[thought] = (kind, left - 1)
        return kind if left else ""


faults = Faults()
numbers = itertools.count(1)


def digest(results: list[str]) -> str:
    """Return what tells conversations of one goal apart: a digest of the results that they have seen."""
    return hashlib.sha256("\0".join(results).encode()).hexdigest()[:8]


def note(**what: Any) -> None:
    """Write a line into this process's log."""
    sys.stderr.write(json.dumps(what) + "\n")


async def answer(request: Request) -> Response:
    """Answer a request for a thought."""
    wire = PATHS[request.url.path]
    asked = wires.asked(wire, await request.json())
    thought = f"{reference(asked.goal)}/{len(asked.results)}"
    fault = faults.take(thought)
    key = request.headers.get("x-api-key") or request.headers.get("authorization", "")
    note(wire=wire, thought=thought, stream=asked.is_stream, fault=fault, key=key, last=asked.results[-1:])
    if fault.isdigit():
        return JSONResponse(wires.error(wire, int(fault)), int(fault))
    await act("thought", {"ref": thought, "seen": digest(asked.results)})
    pieces = wires.WIRES[wire](asked, think(asked.goal, asked.results), next(numbers))
    size = str(sum(len(piece) for piece in pieces.pieces))
    return StreamingResponse(
        send(pieces, thought, fault),
        media_type="text/event-stream" if asked.is_stream else "application/json",
        headers={} if asked.is_stream else {"content-length": size},
    )


async def send(answer: wires.Pieces, thought: str, fault: str) -> AsyncIterator[bytes]:
    """Send an answer piece by piece, and wait at the gate in its middle."""
    for number, piece in enumerate(answer.pieces):
        if number == answer.middle:
            await tell_tally("pass", gate=f"middle {thought}")
            if fault == "close":
                raise ConnectionResetError("told to close in the middle")
            if fault == "garbage":
                yield b'data: {"this is": no JSON\n\n'
        yield piece
        await asyncio.sleep(0)  # each piece is a chunk of its own


async def models(request: Request) -> Response:
    """List the models."""
    return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})


async def plan(request: Request) -> Response:
    """Plan a failure."""
    wanted = await request.json()
    faults.plan(wanted["thought"], wanted["kind"], wanted["times"])
    return JSONResponse({})


app = Starlette(
    routes=[
        *(Route(path, answer, methods=["POST"]) for path in PATHS),
        Route("/v1/models", models),
        Route("/faults", plan, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    serve(app)
