"""schemathesis against a running node: whatever its description allows or forbids, the API answers as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from comity.server.openapi import description
from comity.server.table import OPERATIONS

AGENT = '''"""An agent that answers, asks or fails."""
from comity import Context, agent, tool


@tool(effect="irreversible")
def breaks() -> str:
    """Be cut off."""
    raise OSError("connection reset")


@agent(tools=[breaks])
async def clerk(context: Context) -> str:
    """Do what the goal says."""
    if context.goal == "doubt":
        await context.act(breaks)
    if context.goal == "ask":
        await context.ask_human("Ship it?")
    if context.goal == "fail":
        raise ValueError("no such order")
    return "done"
'''
STREAMS = ["follow_task", "follow_all"]
"""They answer for as long as a task lives; tests/unit/server/test_events.py reads them."""
READ_FURTHER = ["put_world"]
"""What they are sent has a language of its own, which no schema describes."""
SCHEMA = schemathesis.openapi.from_dict(description(OPERATIONS)).exclude(operation_id=STREAMS)
QUICKLY = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
AT_LENGTH = settings(QUICKLY, max_examples=300)


LET_IN = "Bearer operator"
"""Stands for the token of the node, which does not run yet when cases are collected."""


@SCHEMA.auth(refresh_interval=None)
class Operator:
    """Lets each request in, but for those that schemathesis means to be refused."""

    def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
        return LET_IN

    def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = data


class Api(NamedTuple):
    """Where a node serves, and what lets in."""

    url: str
    token: str


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Run a node."""
    folder = tmp_path_factory.mktemp("openapi")
    (folder / "clerk.py").write_text(AGENT, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMITY_", "OPENAI_"))}
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "comity", "up", "clerk.py", "--port", "0", "--announce-fd", str(writer)]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**kept, "HOME": str(folder), "COMITY_HOME": str(folder / "home")},
        pass_fds=[writer],
        stderr=log,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as announced:
            told = json.loads(announced.readline())
        yield Api(told["url"], told["token"])
        process.terminate()
        assert process.wait(60) == 0
        assert "Traceback" not in (folder / "log").read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()
        log.close()


def validate(case: schemathesis.Case, api: Api) -> None:
    """Send a request, and hold the answer to all that is said of it."""
    if case.headers.get("Authorization") == LET_IN:
        case.headers["Authorization"] = f"Bearer {api.token}"
    unread = [positive_data_acceptance] if case.operation.definition.raw["operationId"] in READ_FURTHER else None
    case.call_and_validate(base_url=api.url, excluded_checks=unread)


@SCHEMA.parametrize()
@QUICKLY
def test_the_api_answers_as_it_is_described(case: schemathesis.Case, api: Api) -> None:
    validate(case, api)


@pytest.mark.slow
@SCHEMA.parametrize()
@AT_LENGTH
def test_the_api_answers_as_it_is_described_whatever_is_asked(case: schemathesis.Case, api: Api) -> None:
    validate(case, api)
