"""`comity tasks adopt`: the identity of a program that is started elsewhere, for its environment."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import ServerCommand, command
from comity.core.errors import ComityError, UsageError

if TYPE_CHECKING:
    from comity.cli.program_task import Asking, ProgramTask


class AdoptOptions(msgspec.Struct, frozen=True):
    """What was typed."""

    task: str
    is_renewed: bool
    agent: str
    goal: str
    session: str
    limits: tuple[str, ...]
    allow: tuple[str, ...]
    model: str
    dedupe: str


@command(
    "adopt",
    kind=ServerCommand,
    examples=[
        ("comity tasks adopt --agent clerk --goal 'refund order 7'", "a new task, and what its program needs"),
        ("eval \"$(comity tasks adopt --agent clerk --goal 'refund order 7')\"", "set it in this shell"),
        ("comity tasks adopt 5f0c93ab --renew", "its program was started again: it recalls, the old token is void"),
    ],
)
@click.argument("task", default="", metavar="[TASK]", shell_complete=complete.tasks)
@click.option("--renew", "is_renewed", is_flag=True, help="Take another program in the place of the one it has.")
@click.option(
    "--agent", default="", metavar="NAME", shell_complete=complete.agents, help="Create a task for this agent."
)
@click.option("--goal", default="", metavar="TEXT", help="What is to be reached, for people to read.")
@click.option("--session", default="", metavar="S", help="The conversation that it goes on with.")
@click.option("--budget", "limits", multiple=True, metavar="LIMIT=N", help="As of `comity run`; repeatable.")
@click.option("--allow", multiple=True, metavar="TOOL", help="Only these of the agent's tools; repeatable.")
@click.option("--model", default="", metavar="NAME", help="Another model than the one that the program names.")
@click.option("--dedupe", default="", metavar="KEY", help="The same key gives the same task.")
@click.pass_obj
def adopt(app: App, /, **given: Any) -> None:
    """Take a program that is started elsewhere as a task's, and print the environment that makes it that.

    The token opens the model URL, the tool URL and its own task, until another adoption. The task ends by the tool
    `comity_finish`; while nothing is heard of the program, it parks, and its next call wakes it.
    """
    options = msgspec.convert(given, AdoptOptions)
    if bool(options.task) == bool(options.agent):
        hint = "`comity tasks adopt 5f0c93ab`, or `comity tasks adopt --agent clerk --goal 'refund order 7'`"
        raise UsageError("bad_usage", "name a task, or the agent of a new one", hint=hint)
    if options.task and any(
        (options.goal, options.session, options.limits, options.allow, options.model, options.dedupe)
    ):
        raise UsageError("bad_usage", f"task `{options.task}` has a goal, a grant and a budget", hint="leave them out")
    app.run(_adopt(app, options))


async def _adopt(app: App, options: AdoptOptions) -> None:
    from comity.cli.program_environment import where_the_gateway_is
    from comity.cli.program_server import named_server, server_url
    from comity.core.clock import SystemClock
    from comity.runtime.words import short

    url = server_url(app)
    if not url:
        raise await _no_server(app)
    async with named_server(app, url, SystemClock()) as server:
        task = await _task(options, server.asking)
        adopted = await task.adopt(renew=options.is_renewed or not options.task)
    environment = where_the_gateway_is(adopted, {})
    if app.is_json:
        app.screen.document({**msgspec.to_builtins(adopted), "environment": environment})
        return
    for name, value in environment.items():
        app.screen.answer(f"export {name}={shlex.quote(value)}")
    words = f"incarnation {adopted.incarnation} of task "
    app.screen.note((words, "dim"), (short(adopted.task), "bold"), ("; the token is shown this once", "dim"))


async def _task(options: AdoptOptions, asking: Asking) -> ProgramTask:
    from comity.cli.program_task import ProgramTask, budget_of
    from comity.core.entropy import SystemEntropy

    if options.task:
        return await ProgramTask.find(asking, options.task)
    body: dict[str, Any] = {"goal": options.goal, "session": options.session, "model": options.model}
    body["budget"] = budget_of(options.limits)
    if options.allow:
        body["tools"] = options.allow
    key = options.dedupe or f"adopt-{SystemEntropy().take(16).hex()}"
    return await ProgramTask.create(asking, options.agent, body, key)


async def _no_server(app: App) -> ComityError:
    """Return the error of a command that lacks a server, with where one is."""
    from comity.core.errors import StoreError
    from comity.runtime.burial import url_of
    from comity.runtime.nodes import nodes_up

    hint = "start `comity up`, then set COMITY_SERVER to its URL and COMITY_TOKEN to a token"
    try:
        async with app.store() as store:
            urls = [url for node in await nodes_up(store) if (url := url_of(node))]
    except StoreError:
        urls = []
    if urls:
        hint = f"one is at `{urls[0]}`: `export COMITY_SERVER={urls[0]}`, and COMITY_TOKEN to a token"
    return UsageError("no_server", "a program is adopted at a server, and none was named", hint=hint)
