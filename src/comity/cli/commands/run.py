"""`comity run`: give an agent a goal and follow it; where no node is up, be that node until the task ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import Command, command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.core.ids import Id
    from comity.journal.ports import Store
    from comity.runtime.zygotes import Zygotes


class RunOptions(msgspec.Struct, frozen=True):
    """What was typed."""

    target: str
    goal: str | None
    goal_json: str | None
    task: str
    session: str
    limits: tuple[str, ...]
    allow: tuple[str, ...]
    model: str
    tenant: str
    priority: int
    dedupe: str
    queue: str
    delay: float
    limit_key: str
    is_detached: bool


class Run(Command):
    """`run FILE`, and with `--` in the line `run -- CMD`: options stand before it, and what follows is not ours."""

    def program(self) -> click.Command:
        """Return the command that `--` means."""
        from comity.cli.commands.run_program import run_program

        return run_program

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the line: click would drop the `--` and take the rest for arguments."""
        if "--" not in args:
            return super().make_context(info_name, args, parent, **extra)
        at = args.index("--")
        context = self.program().make_context(info_name, args[:at], parent, **extra)
        context.params["command"] = tuple(args[at + 1 :])
        return context


@command(
    "run",
    kind=Run,
    examples=[
        ("comity run clerk.py --goal 'refund order 7'", ""),
        ("comity run agents.py:clerk --goal 'refund order 7' --budget usd=1,calls.irreversible=1", ""),
        ("comity run clerk.py --goal - --session ada --allow refund < goal.txt", "the goal from a file"),
        ("comity run clerk.py --goal 'refund order 7' --dedupe order-7 --detach", "created once; not followed"),
        ("comity run --task 5f0c93ab", "go on with a task that is there"),
        ("comity run --env MCP_SERVER_URL={mcp} -- python agent.py", "run any command as an agent; see --help --"),
    ],
)
@click.argument("target", metavar="FILE[:AGENT]", default="")
@click.option("--goal", default=None, help="What is to be reached; `-` reads it from standard input.")
@click.option(
    "--goal-json", default=None, metavar="JSON", help="The goal as JSON, for agents that take more than text."
)
@click.option("--task", default="", metavar="ID", shell_complete=complete.tasks, help="Follow a task that is there.")
@click.option("--session", default="", metavar="S", help="The conversation that it goes on with.")
@click.option(
    "--budget",
    "limits",
    multiple=True,
    metavar="LIMIT=N",
    help="tokens, usd, calls.CLASS, calls.model, wall_s, context_tokens; repeatable, or with commas.",
)
@click.option("--allow", multiple=True, metavar="TOOL", help="Only these of the agent's tools; repeatable.")
@click.option("--model", default="", metavar="NAME", help="Another model than the agent's own.")
@click.option("--tenant", default="default", metavar="NAME", help="Whose task it is.")
@click.option("--priority", default=0, metavar="N", help="Higher is taken first.")
@click.option("--dedupe", default="", metavar="KEY", help="The same key gives the same task, however often it is run.")
@click.option("--queue", default="", metavar="NAME", help="The queue that it waits in; nodes may serve some only.")
@click.option("--delay", default=0.0, type=click.FloatRange(min=0), metavar="S", help="Seconds before it may be taken.")
@click.option("--limit-key", default="", metavar="KEY", help="A key of [limits.concurrency]: so many run at a time.")
@click.option("--detach", "is_detached", is_flag=True, help="Create the task, print its id, and leave.")
@click.pass_obj
def run(app: App, /, **given: Any) -> int:
    """Give an agent a goal and follow it to its end.

    Where a node is up on the store, it does the work and this command follows. Where none is, this command is the node
    until the task has ended. Ctrl-C loses nothing: the task goes on with `comity run --task` or `comity up`.

    `comity run [OPTIONS] -- CMD [ARGS]...` runs any command as an agent; `comity run --help --` tells its options.
    """
    options = RunOptions(**given)
    _check(options)
    return app.run(_run(app, options))


def _check(options: RunOptions) -> None:
    if options.task and (options.target or options.goal is not None or options.goal_json is not None):
        raise UsageError(
            "bad_usage", "`--task` goes on with a task that has its goal", hint="leave FILE and --goal out"
        )
    if options.task:
        return
    if not options.target:
        hint = "`comity run clerk.py --goal 'refund order 7'`, or `comity run --task ID`"
        raise UsageError("bad_usage", "no agent file was named", hint=hint)
    if (options.goal is None) == (options.goal_json is None):
        raise UsageError("bad_usage", "give `--goal`, or `--goal-json`", hint="for instance `--goal 'refund order 7'`")


async def _run(app: App, options: RunOptions) -> int:
    from comity.core.ids import show_id
    from comity.runtime.nodes import nodes_up

    app.set_up_logs("warning")
    async with app.store(may_make=not options.task) as store:
        seen_seq = 0
        if options.is_detached or await nodes_up(store):
            task, code, seen_seq = await _beside(app, store, options)
            if code is not None:
                return code
            app.screen.note(("the node that worked on it is gone: this command is the node now", "dim"))
            options = msgspec.structs.replace(options, task=show_id(task), target="")
        return await _as_node(app, store, options, seen_seq)


async def _beside(app: App, store: Store, options: RunOptions) -> tuple[Id, int | None, int]:
    """Create the task, and follow it unless it is detached: another process is the node.

    Returns the task, the exit code (None where that node is gone), and the last entry that was written.
    """
    from comity.cli.enlist import reader_of_files
    from comity.cli.following import Following, tell_detached
    from comity.cli.live import Live

    async with reader_of_files() as zygotes:
        task = await _task(app, store, options, zygotes)
    if options.is_detached:
        return task, await tell_detached(app, store, task), 0
    live = Live(app.screen, has_stream=False)
    return task, await Following(app, store, task, live).to_the_end(), live.seen_seq


async def _as_node(app: App, store: Store, options: RunOptions, seen_seq: int) -> int:
    """Be the node of the store until the task ends, then give all else back."""
    import os

    from comity.cli.following import Following
    from comity.cli.live import Live
    from comity.runtime.node import Node

    if options.model:
        _check_model(app, options.model)
    live = Live(app.screen, has_stream=True, seen_seq=seen_seq)
    node = Node(app.config, store, os.environ, listener=live, on_line=live.printed)
    try:
        task = await _task(app, store, options, node.zygotes)
        code = await Following(app, store, task, live, node).to_the_end()
    except BaseException:
        await node.close()
        raise
    assert code is not None, "this process is the node"
    return code


def _check_model(app: App, model: str) -> None:
    """Refuse a model that this process, which is the node, does not know."""
    from comity.runtime.config_keys import guess

    known = app.config.sections.models
    if model not in known and not model.startswith("scripted:"):
        hint = guess(model, known) if known else "write `[models.NAME]` in comity.toml, or set OPENAI_API_KEY"
        raise UsageError("no_such_model", f"no model `{model}` is configured", hint=hint)


async def _task(app: App, store: Store, options: RunOptions, zygotes: Zygotes) -> Id:
    """Return the task that was named, or a new one."""
    from comity.cli import arguments, enlist
    from comity.cli.api_store import store_api
    from comity.cli.lookup import find_task
    from comity.core.clock import SystemClock
    from comity.core.ids import parse_id
    from comity.runtime.orders import grant_of
    from comity.runtime.programs import register

    if options.task:
        async with store_api(store, app.config, app.who, has_tools=False) as api:
            return parse_id(await find_task(api, options.task))
    file, name = arguments.read_target(options.target)
    section = app.config.sections.agents
    goal = _goal(options)
    program = await enlist.read_program(zygotes, file, app.config)
    spec = enlist.choose(program, name, file)
    base = section[spec.name].budget.budget() if spec.name in section else None
    budget = arguments.read_budget(options.limits, base)
    who = app.who
    grant = grant_of(program, spec, who, options.allow or None, options.model)
    await register(store, program)
    return await app.orders_on(store).create(
        program,
        spec.name,
        goal,
        session=options.session,
        budget=budget,
        grant=grant,
        model=options.model,
        tenant=options.tenant,
        priority=options.priority,
        dedupe=options.dedupe,
        queue=options.queue,
        not_before_us=int(SystemClock().wall_us() + options.delay * 1e6) if options.delay else 0,
        concurrency_key=options.limit_key,
        concurrency_limit=app.config.concurrency_of(options.limit_key),
    )


def _goal(options: RunOptions) -> Any:
    from comity.cli.arguments import read_json

    if options.goal_json is not None:
        return read_json(options.goal_json, "--goal-json")
    return sys.stdin.read().strip() if options.goal == "-" else options.goal
