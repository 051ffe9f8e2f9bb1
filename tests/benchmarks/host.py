"""The process that one measurement runs in: `python -m benchmarks.host REQUEST.json RESULT.json`.

It is started by `runner.py` and always leaves a result: numbers, or the reason why there are none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peer import Peer, Site, Unavailable
from benchmarks.registry import system_named
from benchmarks.tally import striker


def main() -> None:
    """Do what the request says and write the result."""
    request = json.loads(Path(sys.argv[1]).read_text())
    result = Path(sys.argv[2])
    try:
        answer = _work(request)
    except (Unavailable, ImportError) as reason:
        answer = {"reason": _line(reason)}
    except Exception as error:
        result.write_text(json.dumps({"reason": _line(error)}))
        raise
    result.write_text(json.dumps(answer))


def _work(request: dict[str, Any]) -> dict[str, Any]:
    site = request["site"]
    pids = tuple(site["server_pids"])
    strike = striker(Path(request["tally"]), request["hold"], request["variant"]) if request["tally"] else int
    peer = system_named(request["peer"])(Site(Path(site["folder"]), site["postgres_url"], site["server"], pids), strike)
    peer.open()
    try:
        return JOBS[request["job"]](peer, **request["arguments"])
    finally:
        peer.close()


def _probe(peer: Peer) -> dict[str, Any]:
    return {"settings": peer.settings(), "versions": {name: _version(name) for name in peer.distributions}}


def _begin(peer: Peer, steps: int) -> dict[str, Any]:
    peer.begin(steps)
    return {"ended": True}


def _resume(peer: Peer, steps: int) -> dict[str, Any]:
    return {"told": peer.resume(steps)}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "?"


def _line(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {error.name}"
    lines = str(error).strip().splitlines() or [""]
    prefix = "" if isinstance(error, Unavailable) else f"{type(error).__name__}: "
    return f"{prefix}{lines[0]}"[:300]


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "probe": _probe,
    "W1": lambda peer, steps: asdict(peer.w1(steps)),
    "W2": lambda peer, tasks, steps: asdict(peer.w2(tasks, steps)),
    "W3": lambda peer, tasks: asdict(peer.w3(tasks)),
    "begin": _begin,
    "resume": _resume,
}

if __name__ == "__main__":
    main()
