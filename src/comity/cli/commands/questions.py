"""`comity questions`: what agents ask people."""

from __future__ import annotations

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import Group, ServerCommand, command
from comity.core.errors import UsageError

_HERE = "comity.cli.commands.questions"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List open questions, oldest first."),
    "answer": (f"{_HERE}:answer", "Answer one."),
}


@click.command("questions", cls=Group, lazy=COMMANDS)
def questions() -> None:
    """Read what agents ask people, and answer."""


@command("ls", kind=ServerCommand, examples=[("comity questions ls", "")])
@click.pass_obj
def ls(app: App) -> None:
    """List open questions, oldest first."""
    app.run(_ls(app))


async def _ls(app: App) -> None:
    from comity.core.clock import SystemClock
    from comity.runtime.words import age, one_line, short, us_of
    from comity.server import fleet_operations

    async with app.api() as api:
        listed = await api.ask(fleet_operations.questions)
    found, now_us = listed.questions, SystemClock().wall_us()
    if app.is_json:
        app.screen.document(listed)
    elif not found:
        app.screen.say(("nobody asks", "dim"))
    else:
        app.screen.table(
            ("task", ">call", "agent", ">age", "kind", "options", "question"),
            [
                (
                    short(item.task),
                    str(item.call),
                    one_line(item.agent, 30),
                    age(us_of(item.asked_at), now_us),
                    item.kind,
                    one_line(" / ".join(item.options), 40),
                    one_line(item.question, 1_000),
                )
                for item in found
            ],
            last_folds=True,
        )
        app.screen.note(("answer with ", "dim"), (f"comity questions answer {short(found[0].task)} ANSWER", "bold"))


@command(
    "answer",
    kind=ServerCommand,
    examples=[
        ("comity questions answer 5f0c93ab yes", ""),
        ("comity questions answer 5f0c93ab 'ship it on Monday' --call 12", "where it asks several things at once"),
        ("""comity questions answer 5f0c93ab '{"amount": 5}' --as-json""", ""),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.argument("answer")
@click.option("--call", type=int, default=None, metavar="SEQ", help="Which of its questions.")
@click.option("--as-json", "is_json_answer", is_flag=True, help="The answer is JSON.")
@click.pass_obj
def answer(app: App, *, task: str, answer: str, call: int | None, is_json_answer: bool) -> None:
    """Answer a question of a task."""
    from comity.cli.arguments import read_json

    value = read_json(answer, "ANSWER") if is_json_answer else answer
    app.run(_answer(app, task, value, call))


async def _answer(app: App, task: str, value: object, call: int | None) -> None:
    from comity.cli.lookup import find_task
    from comity.runtime.words import short
    from comity.server import fleet_operations
    from comity.server.bodies import AnswerBody

    async with app.api() as api:
        found = await find_task(api, task)
        if call is None:
            listed = await api.ask(fleet_operations.questions)
            asked = [item for item in listed.questions if item.task == found]
            if not asked:
                hint = "`comity questions ls` lists the open ones"
                raise UsageError("not_asked", f"task `{task}` has no open question", hint=hint)
            if len(asked) > 1:
                choices = "; ".join(f"--call {item.call}: {item.question}" for item in asked)
                raise UsageError("which_question", f"task `{task}` asks {len(asked)} things", hint=f"choose: {choices}")
            call = asked[0].call
        answered = await api.ask(fleet_operations.answer, body=AnswerBody(value), task=found, call=str(call))
    if app.is_json:
        app.screen.document(answered)
    else:
        app.screen.say(("answered ", "bold"), f"task {short(answered.task)}")
