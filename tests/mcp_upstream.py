"""A real MCP server in a process of its own, written with the official library.

Run as a program it serves: `python mcp_upstream.py stdio`, or `python mcp_upstream.py PORT` for HTTP. Its tools leave
marks in the folder MCP_MARKS, so that a test sees what really happened there; a test's marks there change what it does:
`words` is what `book` says of itself, `status` how each call over HTTP is answered, `handshake` makes it forget 2026.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from comity.testing.waiting import wait_until

HERE = Path(__file__)
SECRET = "s3cret-of-the-crm"


def marks() -> Path:
    return Path(os.environ["MCP_MARKS"])


def mark(name: str, text: str = "x") -> None:
    with (marks() / name).open("a") as file:
        file.write(f"{text}\n")


def make_server() -> MCPServer:
    """Return a server whose tools can end in every way that there is."""
    server = MCPServer("crm", version="1")
    words = (marks() / "words").read_text() if (marks() / "words").exists() else "Book a table."

    @server.tool(title="Book", description=words, annotations=ToolAnnotations(idempotent_hint=True))
    def book(seats: int, key: str = "") -> dict[str, Any]:
        mark("booked", f"{seats} {key}")
        return {"seats": seats, "key": key}

    @server.tool()
    def environment() -> dict[str, str]:
        return dict(os.environ)

    @server.tool()
    def tell_secret() -> str:
        return f"the secret is {os.environ.get('CRM_TOKEN', SECRET)}"

    @server.tool()
    def fail(text: str = "half way") -> str:
        mark("failed")
        raise ToolError(text)

    add_endings(server)
    add_changes(server)
    return server


def add_endings(server: MCPServer) -> None:
    """Add tools that do not end, or end badly."""

    @server.tool()
    async def crash() -> str:
        mark("crashed")
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"

    @server.tool()
    async def hang() -> str:
        mark("hung")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            mark("cancelled")
            raise
        return "never"

    @server.tool()
    async def wait_for(file: str) -> str:
        mark("waiting")
        await wait_until((marks() / file).exists, 60)
        return "it came"

    @server.tool()
    async def deny(code: int) -> str:
        mark("denied")
        raise MCPError(code, "no such luck")


def add_changes(server: MCPServer) -> None:
    """Add tools that tell of what they do, of what was done, and of others."""

    @server.tool()
    async def count(ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(1, 2, "half")
        await ctx.report_progress(2, 2, f"all of {os.environ.get('CRM_TOKEN', SECRET)}")
        return "counted"

    @server.tool()
    async def find(seats: int = 0) -> dict[str, Any]:
        lines = (marks() / "booked").read_text().split("\n") if (marks() / "booked").exists() else []
        happened = any(line.startswith(f"{seats} ") for line in lines)
        return {"happened": happened, "result": {"seats": seats}} if happened else {"happened": False}

    @server.tool()
    async def is_booked() -> bool:
        return (marks() / "booked").exists()

    @server.tool()
    async def change(ctx: Context[Any, Any]) -> str:
        server.remove_tool("find")
        server.add_tool(extra)
        await ctx.notify_tools_changed()
        await ctx.session.send_tool_list_changed()
        return "changed"

    async def extra() -> str:
        """Do more."""
        return "more"


@asynccontextmanager
async def served(folder: Path, port: int = 0, env: dict[str, str] | None = None) -> AsyncIterator[Serving]:
    """Serve over HTTP, until the block ends."""
    serving = Serving(folder, port or free_port(), env or {})
    await serving.start()
    try:
        yield serving
    finally:
        serving.kill()


class Serving:
    """A server process over HTTP."""

    def __init__(self, folder: Path, port: int, env: dict[str, str]) -> None:
        self.folder = folder
        self.port = port
        self.env = {"PATH": os.environ["PATH"], "MCP_MARKS": str(folder), **env}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def start(self) -> None:
        """Start it (again), and return when it listens."""
        self.kill()
        self.process = subprocess.Popen([sys.executable, str(HERE), str(self.port)], env=self.env)  # noqa: ASYNC220
        await wait_until(self._listens, 30)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stdio_command() -> Sequence[str]:
    return [sys.executable, str(HERE), "stdio"]


class Moody:
    """An ASGI app that answers as the test's marks say, else as the app within it does."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        message = await receive()
        while message.get("more_body"):
            more = await receive()
            message = {**more, "body": message["body"] + more["body"]}
        asked = json.loads(message["body"])
        answer = self.answer(asked)
        if answer is not None:
            await _respond(send, *answer)
            return
        waiting = [message]

        async def again() -> Any:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, again, send)

    def answer(self, asked: dict[str, Any]) -> tuple[int, bytes] | None:
        """Return what is answered instead: a status, and a body."""
        if asked["method"] == "server/discover" and (marks() / "handshake").exists():
            error = {"code": -32601, "message": "no such method"}
            return 400, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}).encode()
        if asked["method"] == "tools/call" and (marks() / "status").exists():
            return int((marks() / "status").read_text()), b""
        return None


async def _respond(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"location", b"http://127.0.0.1:1/elsewhere")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    made = make_server()
    if sys.argv[1] == "stdio":
        made.run("stdio")
    else:
        uvicorn.run(Moody(made.streamable_http_app()), port=int(sys.argv[1]), log_level="warning")
