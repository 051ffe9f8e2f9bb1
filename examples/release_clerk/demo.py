"""`make demo`: agents are killed in the middle of their effects, and do each of them once.

Usage: demo.py [CHAPTER]..., all of them by default. A chapter that does not end as it promises ends the program with
an error.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from fleet import CommandFailed, Fleet
from interplay import Interplay, InterplayFailed
from narrator import BadAnswer, Narrator, preset_answer
from outside import Outside, OutsideFailed
from told import Journal, Line

from comity.core.ids import parse_id
from comity.stores.open import open_store
from comity.testing.waiting import wait_until
from stage import HERE, Stage

DEADLINE_S = 30.0
AGENT = f"{HERE / 'clerk.py'}:clerk"
INTRODUCTION = """\
A release clerk, an AI agent, works on {made_of}: it reads the log, has notes drafted, \
creates a branch, commits, tags, books a slot and announces. Four times something of it is killed with SIGKILL, \
each time after an effect and before anybody heard of it. A booking service and a webhook, which know nothing of \
Comity, count what reaches them."""


class DemoFailed(Exception):
    """The demonstration did not show what it promises."""


class Kill(NamedTuple):
    """A kill: behind which gate, of whom, and what to look at."""

    gate: str
    role: str
    heading: str
    why: str


KILLS = (
    Kill(
        "branch",
        "brain",
        "The brain, right after the branch",
        "The branch exists. The brain that asked for it dies; the call itself lives on in the node.",
    ),
    Kill(
        "tag",
        "hand",
        "The hand, inside the tag",
        "The tag is set. The hand that set it dies before it can say so; `reconcile` goes and looks.",
    ),
    Kill(
        "bookings",
        "hand",
        "The hand, inside the booking",
        "The slot is booked. The hand dies before it hears that; it is asked for again, under the same key.",
    ),
    Kill(
        "announcements",
        "node",
        "The whole node, inside the announcement",
        "Everybody has been told. The node dies, and with it all that ran: this cannot be looked up or undone.",
    ),
)
EFFECTS = (
    ("branches created", "branches"),
    ("commits of notes", "commits"),
    ("tags", "tags"),
    ("slots booked", "bookings"),
    ("announcements", "announcements"),
)


class Release:
    """The chapter `release`."""

    def __init__(self, narrator: Narrator, folder: Path) -> None:
        """Work in `folder`."""
        self._narrator = narrator
        self._folder = folder

    async def play(self) -> None:
        """Play it, and check what came of it."""
        with Stage(self._made("comity")) as stage:
            self._narrator.title("make demo: release", INTRODUCTION.format(made_of=stage.made_of))
            fleet = Fleet(stage.folder, stage.environment)
            try:
                counts, thoughts = await self._with_comity(stage, fleet)
            except DemoFailed as error:
                raise DemoFailed(f"{error}\nthe node's log:\n{fleet.log()[-4_000:]}") from None
            finally:
                fleet.end()
        with Stage(self._made("plain")) as stage:
            plain, runs = await self._without(stage)
        self._narrator.heading("What the outside world counted")
        rows = [(name, str(counts[key]), str(plain[key])) for name, key in EFFECTS]
        rows.append(("drafts asked of the model", str(thoughts), str(runs)))
        self._narrator.table(("killed four times at the same points", "with Comity", "plain Python"), rows)
        check(counts, plain, thoughts)
        self._narrator.heading(f"Exactly one of each, in {self._narrator.seconds:.1f} s.")

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder

    # ---- with Comity ----------------------------------------------------------------------------------------------

    async def _with_comity(self, stage: Stage, fleet: Fleet) -> tuple[dict[str, int], int]:
        await self._up(fleet)
        stage.close(KILLS[0].gate)
        model = ["--model", "default"] if os.environ.get("OPENAI_BASE_URL") and os.environ.get("OPENAI_API_KEY") else []
        self._narrator.heading("The clerk begins")
        begun = fleet.comity("run", AGENT, "--goal", "Release what is new.", "--detach", *model)
        task = str(begun["task"])
        self._narrator.line(Line("●", "a task", f"{task}, {'a real' if model else 'a scripted'} model", "cyan"))
        store = open_store(fleet.store_url)
        await store.open()
        try:
            journal = Journal(store, parse_id(task))
            for index, kill in enumerate(KILLS):
                following = KILLS[index + 1].gate if index + 1 < len(KILLS) else ""
                await self._kill(stage, fleet, journal, task, kill, following)
            await self._follow(journal, fleet, lambda: bool(journal.doubt), "the doubt to be seen")
            self._settle(stage, fleet, journal, task)
            await self._follow(journal, fleet, lambda: journal.is_over, "the task to end")
        finally:
            await store.close()
        state = fleet.comity("tasks", "show", task)["state"]
        if state != "succeeded":
            raise DemoFailed(f"the task ended {state}")
        return stage.counts(), journal.thoughts

    async def _up(self, fleet: Fleet) -> None:
        fleet.start()
        await waited(fleet.is_up, "the node to come up")
        self._narrator.line(Line("●", "comity up", f"a node, pid {fleet.pid}", "cyan"))

    async def _kill(self, stage: Stage, fleet: Fleet, journal: Journal, task: str, kill: Kill, following: str) -> None:
        await self._follow(journal, fleet, lambda: stage.is_reached(kill.gate), f"the gate `{kill.gate}`")
        self._narrator.heading(kill.heading)
        self._narrator.say(kill.why, "italic")
        if following:
            stage.close(following)
        self._narrator.killed(kill.role, fleet.kill(kill.role, task))
        stage.open(kill.gate)
        if kill.role == "node":
            await self._up(fleet)

    async def _follow(self, journal: Journal, fleet: Fleet, is_there: Callable[[], bool], what: str) -> None:
        """Tell the journal's news until something is there."""

        async def look() -> bool:
            self._narrator.lines(await journal.news())
            fleet.check()
            if journal.is_over and not is_there():
                raise DemoFailed(f"the task ended while the demonstration waited for {what}")
            return is_there()

        await waited(look, what)

    def _settle(self, stage: Stage, fleet: Fleet, journal: Journal, task: str) -> None:
        said = stage.record()["announcements"]
        quoted = ", ".join(f"“{act['body']['text']}”" for act in said)
        seen = f"The webhook's own record says: {len(said)} so far{': ' if said else ''}{quoted}."
        answer, by = self._narrator.ask("Did the announcement happen?", seen, truth=bool(said))
        verdict = "--happened" if answer else "--not-happened"
        result = ["--result", str(len(said))] if answer else []
        self._narrator.line(Line("✉", "comity", f"tasks resolve … {journal.doubt} {verdict}  ({by})", "cyan"))
        fleet.comity("tasks", "resolve", task, str(journal.doubt), verdict, *result)

    # ---- without --------------------------------------------------------------------------------------------------

    async def _without(self, stage: Stage) -> tuple[dict[str, int], int]:
        self._narrator.heading("The same file without Comity: plain Python, killed there, started again")
        for kill in KILLS:
            stage.close(kill.gate)
            process = plain_run(stage)
            try:
                await waited(lambda: stage.is_reached(kill.gate) or process.poll() is not None, kill.gate)  # noqa: B023
                if process.poll() is not None:
                    raise DemoFailed(f"the plain run ended before it was killed at `{kill.gate}`")
            finally:
                process.kill()
                stage.open(kill.gate)
                process.communicate()
            self._narrator.killed(f"process, behind `{kill.gate}`", process.pid)
        process = plain_run(stage)
        said, _ = process.communicate()
        if process.returncode != 0:
            raise DemoFailed(f"the plain run failed: {said[-500:]}")
        self._narrator.line(Line("■", "ended", "by itself, at the fifth start", "dim"))
        return stage.counts(), len(KILLS) + 1


def plain_run(stage: Stage) -> subprocess.Popen[str]:
    """Start the clerk without Comity."""
    command = [sys.executable, str(HERE / "naive.py")]
    environment = {**os.environ, **stage.environment}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def check(counts: dict[str, int], plain: dict[str, int], thoughts: int) -> None:
    """Make sure that the demonstration shows what it says.

    Raises:
        DemoFailed: It does not.
    """
    for name, key in EFFECTS:
        if counts[key] != 1:
            raise DemoFailed(f"with Comity, {name}: {counts[key]}, not exactly one")
        if plain[key] < 2:
            raise DemoFailed(f"in plain Python, {name}: {plain[key]}; the kills were not where they should be")
    if thoughts != 1:
        raise DemoFailed(f"the model was asked {thoughts} times for one draft")


async def waited(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Wait until `condition` holds.

    Raises:
        DemoFailed: It did not within `DEADLINE_S`.
    """
    try:
        await wait_until(condition, DEADLINE_S, what)
    except AssertionError as error:
        raise DemoFailed(str(error)) from None


CHAPTERS: dict[str, Any] = {"release": Release, "outside": Outside, "0217": Interplay}


def main() -> int:
    """Play a chapter and return the exit code."""
    names = sys.argv[1:] or list(CHAPTERS)
    for name in names:
        if name not in CHAPTERS:
            print(f"demo: there is no chapter `{name}`; known: {', '.join(sorted(CHAPTERS))}", file=sys.stderr)
            return 2
    if "release" in names and shutil.which("git") is None:
        print("demo: git is missing; install it with: apt-get install --yes git", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # ended from outside, it ends what it started
    name = ""
    try:
        preset_answer()
        for name in names:
            with tempfile.TemporaryDirectory(prefix="comity-demo-", ignore_cleanup_errors=True) as folder:
                asyncio.run(CHAPTERS[name](Narrator(), Path(folder)).play())
            print()
    except BadAnswer as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except (DemoFailed, CommandFailed, OutsideFailed, InterplayFailed) as error:
        print(f"\ndemo: chapter `{name}` failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
