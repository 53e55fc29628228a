"""taskforge completion"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(help='Print the completion script of a shell, e.g. `eval "$(taskforge completion bash)"`.')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """click's own script for our command."""
    from taskforge.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "taskforge", "_TASKFORGE_COMPLETE").source())
