"""`comity tasks` cancel, pause, resume, retry, resolve, signal: orders, which the task's owner takes from its inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import ServerCommand, command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.cli.api import Handle
    from comity.server.documents import OrderDocument


@command("cancel", kind=ServerCommand, examples=[("comity tasks cancel 5f0c93ab", "")])
@click.argument("task", shell_complete=complete.tasks)
@click.pass_obj
def cancel(app: App, task: str) -> None:
    """End a task; what can be undone is undone, the last first."""
    from comity.server import order_operations

    app.run(_order(app, task, order_operations.cancel))


@command("pause", kind=ServerCommand, examples=[("comity tasks pause 5f0c93ab", "")])
@click.argument("task", shell_complete=complete.tasks)
@click.pass_obj
def pause(app: App, task: str) -> None:
    """Park a task once its calls under way have ended."""
    from comity.server import order_operations

    app.run(_order(app, task, order_operations.pause))


@command(
    "resume",
    kind=ServerCommand,
    examples=[
        ("comity tasks resume 5f0c93ab", ""),
        ("comity tasks resume 5f0c93ab --budget usd=2", "with another limit; the others stay"),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.option("--budget", "limits", multiple=True, metavar="LIMIT=N", help="Set a limit anew; repeatable.")
@click.pass_obj
def resume(app: App, *, task: str, limits: tuple[str, ...]) -> None:
    """Let a parked task go on, perhaps with a higher budget."""
    from comity.cli.arguments import limits_of
    from comity.server import order_operations
    from comity.server.bodies import ResumeBody

    app.run(_order(app, task, order_operations.resume, ResumeBody(limits_of(limits))))


@command(
    "retry",
    kind=ServerCommand,
    examples=[
        ("comity tasks retry 5f0c93ab --redo", "try the call that failed once more, under the same key"),
        ("comity tasks retry 5f0c93ab --rethink", "ask the model once more; what was done stays done"),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.option("--redo", "how", flag_value="redo", help="Try its last call once more.")
@click.option("--rethink", "how", flag_value="rethink", help="Ask its model once more.")
@click.pass_obj
def retry(app: App, *, task: str, how: Literal["redo", "rethink"] | None) -> None:
    """Let a failed task go on: redo its last call, or rethink."""
    from comity.server import order_operations
    from comity.server.bodies import RetryBody

    if how is None:
        raise UsageError(
            "bad_usage",
            "a retry is `--redo` or `--rethink`",
            hint="--redo tries the last call once more, --rethink asks the model once more",
        )
    app.run(_order(app, task, order_operations.retry, RetryBody(how)))


@command(
    "resolve",
    kind=ServerCommand,
    examples=[
        ("""comity tasks resolve 5f0c93ab 17 --happened --result '{"id": "ch_1"}'""", "it happened and returned this"),
        ("comity tasks resolve 5f0c93ab 17 --not-happened", "it did not; the agent is told"),
        ("comity tasks resolve 5f0c93ab 17 --again --note 'no charge in the ledger'", "it did not; perform it again"),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.argument("call", type=int)
@click.option("--happened", "verdict", flag_value="happened", help="It happened; --result is what it returned.")
@click.option("--not-happened", "verdict", flag_value="not_happened", help="It did not happen: the agent is told.")
@click.option("--again", "verdict", flag_value="again", help="It did not happen: perform it again.")
@click.option("--result", default=None, metavar="JSON", help="What the call returned, with --happened.")
@click.option("--note", default="", help="Why you are sure; it stands in the journal.")
@click.pass_obj
def resolve(app: App, /, **said: Any) -> None:
    """Say how a call in doubt ended.

    CALL is its number in `comity tasks show`. Look first, at the provider or in its log: nothing is guessed, and
    what you say is what the task goes on with.
    """
    from comity.cli.arguments import read_json
    from comity.server import order_operations
    from comity.server.bodies import ResolveBody

    verdict = said["verdict"]
    if verdict is None:
        hint = "look whether the call happened, then give `--happened`, `--not-happened` or `--again`"
        raise UsageError("bad_usage", f"call `{said['call']}`: say how it ended", hint=hint)
    if said["result"] is not None and verdict != "happened":
        raise UsageError("bad_usage", "`--result` goes with `--happened`", hint="what did not happen has no result")
    result = read_json(said["result"], "--result") if said["result"] is not None else None
    body = ResolveBody(said["call"], verdict, result, said["note"])
    app.run(_order(app, said["task"], order_operations.resolve, body))


@command(
    "signal",
    kind=ServerCommand,
    examples=[
        ("""comity tasks signal 5f0c93ab approved '{"by": "ada"}'""", ""),
        ("comity tasks signal 5f0c93ab approved --key order-7", "sent once, however often it is typed"),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.argument("name")
@click.argument("value", metavar="[JSON]", default="null")
@click.option("--key", default="", help="Send it once under this key.")
@click.pass_obj
def signal(app: App, *, task: str, name: str, value: str, key: str) -> None:
    """Send a signal to a task; it waits there until the agent asks for it."""
    from comity.cli.arguments import read_json
    from comity.server import order_operations
    from comity.server.bodies import SignalBody

    app.run(_order(app, task, order_operations.signal, SignalBody(name, read_json(value, "JSON"), key)))


async def _order(app: App, task: str, order: Handle[OrderDocument], body: object = None) -> None:
    from comity.cli.lookup import find_task
    from comity.runtime.words import short

    async with app.api() as api:
        sent = await api.ask(order, body=body, task=await find_task(api, task))
    if app.is_json:
        app.screen.document(sent)
        return
    app.screen.say((f"{sent.order} ", "bold"), f"sent to task {short(sent.task)}")
    if not sent.has_node:
        app.screen.note(
            (f"no node is up: it is obeyed by `comity up` or `comity run --task {short(sent.task)}`", "dim")
        )
