"""The same agent file without Comity: its agent and its tools are called directly, as plain Python does.

Killed and started again it begins at the beginning: it has no journal, so it knows neither what it did nor what it
was about to do.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from clerk import clerk, draft

from comity import CallContext


class Plain:
    """Stands where the context stands."""

    async def act(self, tool: Callable[..., Any], **args: Any) -> Any:
        """Call the tool. Each call gets a fresh key, as client libraries give one to each request."""
        if "call" in inspect.signature(tool).parameters:
            args["call"] = CallContext(f"process {os.getpid()}", uuid.uuid4().hex, 1, tool.__name__)
        return tool(**args)

    async def think(self, messages: list[dict[str, Any]]) -> SimpleNamespace:
        """Answer as the scripted model does."""
        return SimpleNamespace(text=draft(messages))


if __name__ == "__main__":
    context: Any = Plain()
    print(asyncio.run(clerk(context)))
