"""An outside program: it thinks and acts as its arguments say, by the standard library alone, and dies where they say.

Steps are `think WORD`, `book REF`, `ask QUESTION`, `exit CODE LIVES` and `die LIVES` (in so many first lives), `print
VARIABLE`, `read` (a line that is typed), `hang`, `stubborn` (that no SIGTERM ends).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

VERSION = "2025-06-18"


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def think(word: str) -> str:
    """Ask the model."""
    body = {"model": "gpt-test", "messages": [{"role": "user", "content": word}]}
    key = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    answer = _post(f"{os.environ['OPENAI_BASE_URL']}/chat/completions", body, key)
    return str(answer["choices"][0]["message"]["content"])


def book(ref: str) -> str:
    """Book a room."""
    return call("book", ref=ref, nights=1)


def call(name: str, **arguments: Any) -> str:
    """Call a tool."""
    call = {"name": name, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    answer = _post(os.environ["COMITY_MCP_URL"], body, {"MCP-Protocol-Version": VERSION})
    return str(answer["result"]["content"][0]["text"])


CALLS = {"think": think, "book": book, "ask": lambda question: call("comity_ask_human", question=question)}


def main(steps: list[str]) -> None:
    """Take one step after the other."""
    with Path("lives").open("a") as file:
        file.write(f"{os.getpid()}\n")
    life = len(Path("lives").read_text().splitlines())
    words = iter(steps)
    for step in words:
        if step in CALLS:
            say(CALLS[step](next(words)))
        elif step == "exit":
            code, lives = int(next(words)), int(next(words))
            if life <= lives:
                sys.exit(code)
        elif step == "die":
            if life <= int(next(words)):
                os.kill(os.getpid(), signal.SIGKILL)
        elif step == "print":
            say(os.environ.get(next(words), "not set"))
        elif step == "read":
            say(f"read {sys.stdin.readline().strip()}")
        elif step == "hang":
            say("hangs")
            signal.pause()
        elif step == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _post(url: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
    kinds = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, json.dumps(body).encode(), {**kinds, **headers})
    with urllib.request.urlopen(request) as response:
        text = response.read().decode()
    if text.startswith(("event:", "data:", ":")):
        text = next(line[6:] for line in text.splitlines() if line.startswith("data: {"))
    return json.loads(text)


if __name__ == "__main__":
    main(sys.argv[1:])
