"""The release clerk, an agent file: turns what was committed lately into a release (notes, branch, tag, slot, news).

Each tool says what calling it does to the world, and so what is to be done when nobody knows whether a call happened.
Nothing here knows that it will be killed. The tools find repository and services in the environment
(`RELEASE_REPOSITORY`, `RELEASE_DESK`).
"""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from repository import VERSION, GitFailed, Repository

from comity import CallContext, Context, DidNotHappen, Happened, NotHappened, agent, tool
from comity.testing import ScriptedModel

INSTRUCTIONS = "You write release notes in Markdown: a heading, then what was added, changed and fixed. Nothing else."
GROUPS = {"Add": "Added", "Write": "Added", "Build": "Added", "Fix": "Fixed", "Correct": "Fixed", "Leave": "Fixed"}

# ---- tools ---------------------------------------------------------------------------------------------------------


@tool(effect="read")
def read_history() -> dict[str, Any]:
    """Return the last version, and what was committed since."""
    return _repository().history()


@tool(effect="idempotent")
def delete_branch(args: dict[str, Any], result: Any, call: CallContext) -> str:  # noqa: ARG001 - every undo is told the result
    """Undo `create_branch`: delete the branch if this task made it."""
    if _repository().creator(args["name"]) == call.task:
        _repository().delete_branch(args["name"])
    return f"there is no branch {args['name']} of this task"


@tool(effect="reversible", compensate=delete_branch)
def create_branch(name: str, start: str, call: CallContext) -> str:
    """Create a branch at a commit."""
    if _repository().commit_of(f"refs/heads/{name}"):
        raise NotHappened(f"there is a branch `{name}`; take another name")
    _repository().create_branch(name, start, call.task)
    return name


@tool(effect="read")
def find_commit(branch: str, version: str, notes: str) -> Happened | DidNotHappen:
    """Tell whether the notes were committed."""
    found = _repository().commit_with(branch, f"notes/{version}.md", notes)
    return Happened(found) if found else DidNotHappen(f"no commit of `{branch}` has them")


@tool(effect="reconcilable", reconcile=find_commit)
def commit_notes(branch: str, version: str, notes: str) -> str:
    """Commit the notes on the branch, and return the commit."""
    return _repository().commit_file(branch, f"notes/{version}.md", notes, f"Add the notes of {version}")


@tool(effect="read")
def find_tag(version: str, commit: str) -> Happened | DidNotHappen:
    """Tell whether the commit was tagged."""
    if _repository().commit_of(f"refs/tags/{version}") == commit:
        return Happened(version)
    return DidNotHappen(f"`{version}` does not name {commit[:10]}")


@tool(effect="reconcilable", reconcile=find_tag)
def tag(version: str, commit: str) -> str:
    """Tag the commit."""
    try:
        _repository().tag(version, commit, f"Release {version}")
    except GitFailed:
        there = _repository().commit_of(f"refs/tags/{version}")
        if there:
            raise NotHappened(f"tag `{version}` exists and names {there[:10]}; take another version") from None
        raise
    return version


@tool(effect="idempotent")
def book_slot(version: str, call: CallContext) -> str:
    """Book a slot for the release, and return it. The service counts a key once."""
    return str(_post("bookings", {"release": version}, {"Idempotency-Key": call.key})["slot"])


@tool(effect="irreversible", once=["version"], once_per="tenant")
def announce(version: str, slot: str) -> int:
    """Tell everybody. What was said cannot be taken back."""
    return int(_post("announcements", {"text": f"{version} is released on {slot}"}, {})["number"])


# ---- the agent -----------------------------------------------------------------------------------------------------


def draft(messages: list[dict[str, Any]]) -> str:
    """Write the notes that a model would: computed from the messages, so that other commits give other notes."""
    asked = json.loads(messages[-1]["content"])
    found: dict[str, list[str]] = {}
    for subject in asked["commits"]:
        found.setdefault(GROUPS.get(subject.split(" ")[0], "Changed"), []).append(f"- {subject}")
    parts = [f"## {name}\n\n" + "\n".join(found[name]) for name in ("Added", "Changed", "Fixed") if name in found]
    return "\n\n".join([f"# {asked['version']}", *(parts or ["No change since the last version."])]) + "\n"


drafter = ScriptedModel(draft)


@agent(model=drafter)
async def clerk(context: Context) -> dict[str, Any]:
    """Release what is new."""
    history = await context.act(read_history)
    version = next_version(history["last"])
    asked = {"version": version, "commits": [commit["subject"] for commit in history["commits"]]}
    notes = await context.think(
        [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": json.dumps(asked, sort_keys=True)}]
    )
    branch = await free_branch(context, version, history["head"])
    commit = await context.act(commit_notes, branch=branch, version=version, notes=notes.text)
    await context.act(tag, version=version, commit=commit)
    slot = await context.act(book_slot, version=version)
    try:
        await context.act(announce, version=version, slot=slot)
        is_announced = True
    except NotHappened:
        is_announced = False
    return {"version": version, "branch": branch, "commit": commit, "slot": slot, "announced": is_announced}


async def free_branch(context: Context, version: str, start: str) -> str:
    """Create a branch under the first name that nobody has taken."""
    name, number = f"release/{version}", 1
    while True:
        try:
            return str(await context.act(create_branch, name=name, start=start))
        except NotHappened:
            number += 1
            name = f"release/{version}-{number}"


def next_version(last: str) -> str:
    """Return the minor version after `last`."""
    found = VERSION.match(last)
    return f"v{found[1]}.{int(found[2]) + 1}.0" if found else "v0.1.0"


# ---- what the tools lean on ------------------------------------------------------------------------------------------


def _repository() -> Repository:
    return Repository(os.environ["RELEASE_REPOSITORY"])


def _post(path: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    desk = HTTPConnection(urlsplit(os.environ["RELEASE_DESK"]).netloc)
    desk.request("POST", f"/{path}", json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = desk.getresponse()
    found: dict[str, Any] = json.load(answer)
    desk.close()
    if answer.status >= 300:
        raise OSError(f"{path} answered {answer.status}: {found.get('error', '')}")
    return found
