"""The outside world of the demonstration: a booking service and a webhook, in one process that only counts.

It knows nothing of Comity. A booking is asked for under an `Idempotency-Key`: the same key gets the same slot and is
counted once. An announcement is counted each time. Every act is on disk before it is answered.

A gate can hold an endpoint's answers back: the act is counted, and whoever asked hears nothing yet. That is how the
demonstration kills "in the middle" without any guess at how long things take.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

ENDPOINTS = ("bookings", "announcements")
BODY_BYTES_MAX = 1_000_000
SLOTS = tuple(f"{day} {hour}:00" for day in ("Tuesday", "Wednesday", "Thursday") for hour in (10, 11, 14, 15))


class Record:
    """What was done, in memory and in a file of one JSON object a line."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier process wrote."""
        self._path = path
        self._lock = threading.Lock()
        self.acts: list[dict[str, Any]] = []
        if path.exists():
            self.acts = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def book(self, key: str, body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Return the booking under `key`, and whether it is new."""
        with self._lock:
            for act in self.acts:
                if act["endpoint"] == "bookings" and act["key"] == key:
                    return act, False
            slot = SLOTS[len(self.of("bookings")) % len(SLOTS)]
            return self._keep({"endpoint": "bookings", "key": key, "slot": slot, "body": body}), True

    def announce(self, body: dict[str, Any]) -> dict[str, Any]:
        """Count one announcement more."""
        with self._lock:
            return self._keep({"endpoint": "announcements", "number": len(self.of("announcements")) + 1, "body": body})

    def of(self, endpoint: str) -> list[dict[str, Any]]:
        """Return the acts of one endpoint, oldest first."""
        return [act for act in self.acts if act["endpoint"] == endpoint]

    def _keep(self, act: dict[str, Any]) -> dict[str, Any]:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(act, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.acts.append(act)
        return act


class Gates:
    """Which endpoints hold their answers back, and how many requests stand there."""

    def __init__(self) -> None:
        """Let everything pass."""
        self._open = {endpoint: threading.Event() for endpoint in ENDPOINTS}
        self.waiting = dict.fromkeys(ENDPOINTS, 0)
        for event in self._open.values():
            event.set()

    def set(self, endpoint: str, *, closed: bool) -> None:
        """Close a gate, or open it for all who wait."""
        event = self._open[endpoint]
        event.clear() if closed else event.set()

    def pass_through(self, endpoint: str) -> None:
        """Return once the gate is open."""
        if self._open[endpoint].is_set():
            return
        self.waiting[endpoint] += 1
        self._open[endpoint].wait()
        self.waiting[endpoint] -= 1


class Desk(BaseHTTPRequestHandler):
    """Answers one request."""

    record: Record
    gates: Gates

    def do_GET(self) -> None:
        """`/record`: what was done, and who waits at a gate."""
        if self.path != "/record":
            self._answer(404, {"error": f"there is no {self.path}"})
            return
        done: dict[str, Any] = {endpoint: self.record.of(endpoint) for endpoint in ENDPOINTS}
        self._answer(200, {**done, "waiting": self.gates.waiting})

    def do_POST(self) -> None:
        """`/bookings` and `/announcements`: act, count, answer."""
        body = self._body()
        if body is None:
            self._answer(400, {"error": "the body is no JSON object"})
        elif self.path == "/bookings":
            key = self.headers.get("Idempotency-Key", "")
            if not key:
                self._answer(400, {"error": "a booking needs an Idempotency-Key"})
                return
            act, is_new = self.record.book(key, body)
            self.gates.pass_through("bookings")
            self._answer(201 if is_new else 200, {"slot": act["slot"], "new": is_new})
        elif self.path == "/announcements":
            act = self.record.announce(body)
            self.gates.pass_through("announcements")
            self._answer(202, {"number": act["number"]})
        else:
            self._answer(404, {"error": f"there is no {self.path}"})

    def do_PUT(self) -> None:
        """`/gates/ENDPOINT`: close or open a gate."""
        endpoint = self.path.removeprefix("/gates/")
        body = self._body()
        if endpoint not in ENDPOINTS or body is None:
            self._answer(404, {"error": f"there is no gate {endpoint}"})
            return
        self.gates.set(endpoint, closed=bool(body.get("closed")))
        self._answer(200, {"closed": bool(body.get("closed"))})

    def _body(self) -> dict[str, Any] | None:
        size = min(int(self.headers.get("Content-Length") or 0), BODY_BYTES_MAX)
        try:
            body = json.loads(self.rfile.read(size) or b"{}")
        except ValueError:
            return None
        return body if isinstance(body, dict) else None

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body, ensure_ascii=False).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked was killed meanwhile

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: only the record counts."""


class Tally(ThreadingHTTPServer):
    """The server, on a free port of this machine."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        """Listen; what was done goes to `path`."""
        handler = type("DeskWithRecord", (Desk,), {"record": Record(path), "gates": Gates()})
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


def main() -> None:
    """Print the URL; serve until SIGTERM, or until whoever started this is gone (the end of standard input)."""
    parser = argparse.ArgumentParser(description="count bookings and announcements")
    parser.add_argument("--record", type=Path, required=True, help="the file that keeps what was done")
    server = Tally(parser.parse_args().record)

    def end(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.url, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
