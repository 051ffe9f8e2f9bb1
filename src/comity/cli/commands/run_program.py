"""`comity run -- CMD ARGS…`: run any command as an agent, durable and isolated, its models and tools by Comity."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import ServerCommand
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.cli.program_task import Asking, ProgramTask
    from comity.runtime.isolation import Isolation

NAME_CHARS_MAX = 64
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class ProgramOptions(msgspec.Struct, frozen=True):
    """What was typed; `command` is what stood after `--`."""

    command: tuple[str, ...]
    agent: str
    goal: str
    task: str
    session: str
    limits: tuple[str, ...]
    allow: tuple[str, ...]
    model: str
    dedupe: str
    is_restarted: bool
    assignments: tuple[str, ...]
    passed: tuple[str, ...]
    ports: tuple[int, ...]
    has_unix: bool
    needs_isolation: bool


@click.command(
    "run",
    cls=ServerCommand,
    options_metavar="[OPTIONS] -- CMD [ARGS]...",
    examples=[
        ("comity run -- python agent.py", ""),
        ("comity run --env MCP_SERVER_URL={mcp} -- python agent.py", "where the script reads its tools' address from"),
        ("comity run --goal 'refund order 7' --budget usd=1 --dedupe order-7 -- node agent.mjs", ""),
        ("comity run --task 5f0c93ab -- python agent.py", "go on with a task that is there"),
    ],
)
@click.option(
    "--agent", default="", metavar="NAME", shell_complete=complete.agents, help="Whose task it is; else CMD's."
)
@click.option("--goal", default="", metavar="TEXT", help="What is to be reached, for people to read; else CMD.")
@click.option(
    "--task", default="", metavar="ID", shell_complete=complete.tasks, help="Go on with a task that is there."
)
@click.option("--session", default="", metavar="S", help="The conversation that it goes on with.")
@click.option(
    "--budget",
    "limits",
    multiple=True,
    metavar="LIMIT=N",
    help="tokens, usd, calls.CLASS, calls.model, wall_s, context_tokens; repeatable, or with commas.",
)
@click.option("--allow", multiple=True, metavar="TOOL", help="Only these of the agent's tools; repeatable.")
@click.option("--model", default="", metavar="NAME", help="Another model than the one that the program names.")
@click.option("--dedupe", default="", metavar="KEY", help="The same key gives the same task, however often it is run.")
@click.option(
    "--no-restart", "is_restarted", flag_value=False, default=True, help="Take a crash for the end: the task fails."
)
@click.option(
    "--env",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a variable; {mcp}, {mcp:SERVER}, {openai}, {anthropic}, {token} and {task} are filled in. Repeatable.",
)
@click.option("--pass-env", "passed", multiple=True, metavar="NAME", help="Pass a variable of yours on; repeatable.")
@click.option(
    "--allow-port",
    "ports",
    multiple=True,
    metavar="N",
    type=click.IntRange(1, 65_535),
    help="A TCP port that it may use beside the gateway's; repeatable.",
)
@click.option("--allow-unix-sockets", "has_unix", is_flag=True, help="Let it use local services, which may act for it.")
@click.option("--require-isolation", "needs_isolation", is_flag=True, help="Refuse where it cannot be isolated fully.")
@click.pass_obj
def run_program(app: App, /, **given: Any) -> int:
    """Run any command as an agent, and start it again until it is done.

    Its environment holds a model URL, a tool URL and a key: each of its calls is journaled, and after a crash recalled
    instead of made again. Exit code 0 ends the task; Ctrl-C loses nothing. It sees neither your keys nor Comity's
    state, and reaches no port but the gateway's.
    """
    options = msgspec.convert(given, ProgramOptions)
    _check(options)
    return app.run(_run(app, options))


def _check(options: ProgramOptions) -> None:
    if not options.command:
        hint = "for instance `comity run -- python agent.py`"
        raise UsageError("bad_usage", "no command was given after `--`", hint=hint)
    if options.task and any(
        (options.agent, options.goal, options.session, options.allow, options.model, options.dedupe)
    ):
        hint = "leave --agent, --goal, --session, --allow, --model and --dedupe out"
        raise UsageError("bad_usage", "`--task` goes on with a task that has all of that", hint=hint)
    if shutil.which(options.command[0]) is None:
        hint = "name a program that is in PATH, or give its path"
        raise UsageError("no_such_command", f"there is no program `{options.command[0]}`", hint=hint)


async def _run(app: App, options: ProgramOptions) -> int:
    from comity.cli.exits import Exit
    from comity.cli.program import Supervisor, Wanted, may_leave
    from comity.cli.program_environment import read_assignments
    from comity.cli.program_server import NodeFailed, named_server, own_server, server_url
    from comity.cli.program_task import budget_of
    from comity.cli.program_words import tell_end
    from comity.core.clock import SystemClock
    from comity.runtime.hardening import hide_from_neighbours

    app.set_up_logs("warning")
    hide_from_neighbours()  # its memory holds a token, and the keys of its environment
    clock = SystemClock()
    isolation = _isolation(app, options)
    assigned, budget = read_assignments(options.assignments), budget_of(options.limits)
    with _environment(app, options, isolation) as environment, may_leave() as leaving:
        url = server_url(app)
        server = named_server(app, url, clock) if url else own_server(app, clock)
        try:
            async with server as (asking, port):
                if leaving.is_set():
                    return Exit.INTERRUPTED
                task = await _task(app, options, budget, asking)
                ports = (port, *options.ports)
                reaching = msgspec.structs.replace(isolation, ports=ports, listening=options.ports)
                wanted = Wanted(options.command, environment, assigned, reaching, options.is_restarted)
                if not task.account.state.ended:
                    await Supervisor(app.screen, clock, task, wanted, leaving).run()
                account = await task.look()
        except NodeFailed as failure:
            return failure.status  # it has said why
    return tell_end(app.screen, account, options.command, is_interrupted=leaving.is_set())


def _isolation(app: App, options: ProgramOptions) -> Isolation:
    """Return what the program is kept from, with no port yet; say where that is less than it should be.

    Raises:
        UsageError: Comity's state lies where the program works; or isolation is required, and there is not all of it.
    """
    from comity.runtime.isolation import described, is_whole
    from comity.runtime.isolation_paths import of_program

    if not is_whole():
        if options.needs_isolation:
            hint = "Linux 6.12 and later have all of it; `comity doctor` tells what there is"
            raise UsageError("no_isolation", f"brain isolation here: {described()}", hint=hint)
        app.screen.warn(f"brain isolation: {described()}")
    found = of_program(app.config, os.environ, Path.cwd())
    return msgspec.structs.replace(found, has_unix=options.has_unix)


@contextmanager
def _environment(app: App, options: ProgramOptions, isolation: Isolation) -> Iterator[dict[str, str]]:
    """Give the program's environment, less what leads to the gateway, and folders to write to where it needs some."""
    from comity.cli.program_environment import scrubbed
    from comity.runtime.isolation import may_make_in

    sections = app.config.sections
    keys = {upstream.api_key_env for upstream in sections.model_upstreams.values()}
    keys |= {name for upstream in sections.mcp_upstreams.values() for name in upstream.variables}
    environment = scrubbed(os.environ, options.passed, keys)
    home = environment.get("HOME", "")
    if home and not may_make_in(os.path.realpath(home), isolation):  # it could not make this one itself
        with suppress(OSError):
            Path(environment.get("XDG_CACHE_HOME") or f"{home}/.cache").mkdir(mode=0o700, exist_ok=True)
    if may_make_in(os.path.realpath(tempfile.gettempdir()), isolation):
        yield environment
    else:
        with tempfile.TemporaryDirectory(prefix="comity-run-", ignore_cleanup_errors=True) as folder:
            yield {**environment, "TMPDIR": folder}


async def _task(app: App, options: ProgramOptions, budget: dict[str, Any], asking: Asking) -> ProgramTask:
    """Return the task that was named, woken where it is parked; or a new one."""
    from comity.cli.program_task import ProgramTask
    from comity.core.entropy import SystemEntropy
    from comity.journal.task import State
    from comity.runtime.words import one_line, short

    if options.task:
        task = await ProgramTask.find(asking, options.task)
        if task.account.state is State.PARKED:
            await task.resume(budget)
        elif budget:
            text = f"task `{options.task}` is {task.account.state}: only a parked one gets another budget"
            raise UsageError("not_parked", text, hint="`comity tasks pause` parks it")
    else:
        goal = options.goal or shlex.join(options.command)
        body = {"goal": goal, "session": options.session, "budget": budget, "model": options.model}
        if options.allow:
            body["tools"] = options.allow
        key = options.dedupe or f"run-{SystemEntropy().take(16).hex()}"
        task = await ProgramTask.create(asking, options.agent or name_of(options.command), body, key)
    name = short(task.id)
    app.screen.note(("task ", "dim"), (name, "bold"), f"  {task.account.agent}: ", (one_line(task.account.goal), "dim"))
    return task


def name_of(command: Sequence[str]) -> str:
    """Return how a command is called: by the script or module that it runs, else by its program."""
    words = list(command)
    script = next((word for word in words if Path(word).suffix and Path(word).is_file()), "")
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    name = Path(script).stem if script else module or Path(words[0]).name
    return _NOT_IN_A_NAME.sub("-", name)[:NAME_CHARS_MAX] or "program"
