"""`comity completion`: what a shell reads to complete commands, options, task ids and agent names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from comity.cli.grammar import command


@command(
    "completion",
    examples=[
        ('eval "$(comity completion bash)"', "in ~/.bashrc"),
        ('eval "$(comity completion zsh)"', "in ~/.zshrc"),
        ("comity completion fish > ~/.config/fish/completions/comity.fish", ""),
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the shell's completion script."""
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    root = context.find_root().command
    script = found(root, {}, "comity", "_COMITY_COMPLETE").source_template % {
        "complete_func": "_comity_completion",
        "complete_var": "_COMITY_COMPLETE",
        "prog_name": "comity",
    }
    click.echo(script)
