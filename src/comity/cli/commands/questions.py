"""`comity questions`: what agents ask people."""

from __future__ import annotations

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import Group, command
from comity.core.errors import UsageError

_HERE = "comity.cli.commands.questions"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List open questions, oldest first."),
    "answer": (f"{_HERE}:answer", "Answer one."),
}


@click.command("questions", cls=Group, lazy=COMMANDS)
def questions() -> None:
    """Read what agents ask people, and answer."""


@command("ls", examples=[("comity questions ls", "")])
@click.pass_obj
def ls(app: App) -> None:
    """List open questions, oldest first."""
    app.run(_ls(app))


async def _ls(app: App) -> None:
    from comity.runtime.words import age, one_line, short
    from comity.server.fleet_documents import QuestionList, question_document

    async with app.orders() as (store, orders):
        found = await orders.questions()
        now_us = await store.now_us()
    if app.is_json:
        app.screen.document(QuestionList([question_document(item) for item in found]))
    elif not found:
        app.screen.say(("nobody asks", "dim"))
    else:
        app.screen.table(
            ("task", ">call", "agent", ">age", "options", "question"),
            [
                (
                    short(item.task),
                    str(item.call),
                    one_line(item.agent, 30),
                    age(item.asked_us, now_us),
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
    from comity.core.ids import show_id
    from comity.runtime.words import short
    from comity.server.fleet_documents import AnswerDocument

    async with app.orders() as (store, orders):
        row = await find_task(store, task)
        asked = [item for item in await orders.questions() if item.task == row.id]
        if call is None:
            if not asked:
                hint = "`comity questions ls` lists the open ones"
                raise UsageError("not_asked", f"task `{task}` has no open question", hint=hint)
            if len(asked) > 1:
                listed = "; ".join(f"--call {item.call}: {item.question}" for item in asked)
                raise UsageError("which_question", f"task `{task}` asks {len(asked)} things", hint=f"choose: {listed}")
            call = asked[0].call
        await orders.answer(row.id, call, value)
    if app.is_json:
        app.screen.document(AnswerDocument(show_id(row.id), call, value))
    else:
        app.screen.say(("answered ", "bold"), f"task {short(row.id)}")
