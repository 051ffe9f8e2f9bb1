"""The root command, and the boundary at which every error becomes a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from comity.cli import exits, failures
from comity.cli.app import App
from comity.cli.grammar import Group
from comity.core.errors import ComityError

_HERE = "comity.cli.commands"
COMMANDS = {
    "init": (f"{_HERE}.init:init", "Write a commented comity.toml."),
    "up": (f"{_HERE}.up:up", "Run a node: take tasks and work on them until Ctrl-C."),
    "run": (f"{_HERE}.run:run", "Give an agent a goal and follow it to its end."),
    "tasks": (f"{_HERE}.tasks:tasks", "List, show, follow, steer, fork and compare tasks."),
    "sessions": (f"{_HERE}.sessions:sessions", "List and show conversations."),
    "questions": (f"{_HERE}.questions:questions", "List what agents ask people, and answer."),
    "agents": (f"{_HERE}.agents:agents", "List and register agents."),
    "tools": (f"{_HERE}.tools:tools", "List, show and accept the tools that programs are offered."),
    "world": (f"{_HERE}.world:world", "Check, apply and show what agents share."),
    "claim": (f"{_HERE}.claims:claim", "Claim a part of the world for a while."),
    "announce": (f"{_HERE}.claims:announce", "Announce a change that is made outside Comity."),
    "claims": (f"{_HERE}.claims:claims", "List and end claims."),
    "plan": (f"{_HERE}.claims:plan", "Issue and list plans."),
    "detectors": (f"{_HERE}.detectors:detectors", "Look at what watches for harm between agents."),
    "map": (f"{_HERE}.map:map_", "Draw who acts on whom, and why something happened."),
    "rehearse": (f"{_HERE}.rehearse:rehearse", "Explore what the agents of a world can do together."),
    "demo": (f"{_HERE}.demo:demo", "Play agents that are each rational and destroy a system."),
    "stop": (f"{_HERE}.stop:stop", "Stop a task, an agent, a session, a tenant or the fleet."),
    "mcp": (f"{_HERE}.mcp:mcp", "Serve MCP to an agent that operates Comity."),
    "token": (f"{_HERE}.token:token", "Make and revoke the tokens by which operators come in."),
    "store": (f"{_HERE}.store:store", "Migrate, back up, restore, check and prune the store."),
    "config": (f"{_HERE}.config:config", "Show every setting and where it comes from."),
    "doctor": (f"{_HERE}.doctor:doctor", "Check that everything Comity stands on is sound."),
    "version": (f"{_HERE}.version:version", "Print the version."),
    "completion": (f"{_HERE}.completion:completion", "Print the shell's completion script."),
}


class Root(Group):
    """`comity`: its exit codes stand in its help, and no error leaves it as a stack trace."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl(exits.table())

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run the command line and leave with its exit code."""
        app = App()
        extra.pop("standalone_mode", None)
        sys.exit(self._run(app, args, prog_name or "comity", extra))

    def _run(self, app: App, args: Sequence[str] | None, prog_name: str, extra: dict[str, Any]) -> int:
        try:
            code = super().main(args, prog_name, standalone_mode=False, obj=app, **extra)
            sys.stdout.flush()
        except ComityError as error:
            return failures.report(error, app)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            return exits.Exit.USAGE
        except click.ClickException as error:
            return failures.report(failures.of_click(error), app)
        except (KeyboardInterrupt, click.Abort):
            return exits.Exit.INTERRUPTED
        except OSError as error:
            if error.errno == errno.EPIPE:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return exits.Exit.OK
            return failures.report_os(error, app)
        except Exception as error:
            return failures.report_bug(error, app)
        return code if isinstance(code, int) else exits.Exit.OK


@click.command("comity", cls=Root, lazy=COMMANDS)
def root() -> None:
    """Comity, the kernel for fleets of AI agents.

    Agents that survive crashes, never act twice, and can be stopped. Begin with `comity init`, then
    `comity run agent.py --goal "…"`.
    """


def main() -> None:
    """Run `comity`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    root.main()
