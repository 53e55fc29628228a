"""taskforge probe"""

from __future__ import annotations

import os
import time

import click

from taskforge.cli.common import FAILED, span


@click.command(
    help="Say whether a worker lives, by the file that it touches (worker --liveness-file). Exit code 1 if not. Needs "
    "neither app nor broker.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--liveness-file", required=True, type=click.Path(), metavar="PATH", help="The file.")
@click.option(
    "--max-age",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="A worker lives that touched it no longer ago.",
)
def command(liveness_file: str, max_age: float) -> int:
    """By this machine's clock: a touch far in the future is as bad as one far in the past."""
    try:
        age = time.time() - os.stat(liveness_file).st_mtime
    except OSError as error:
        click.echo(f"not alive: {liveness_file} cannot be read ({error.strerror}); has a worker with it started?")
        return FAILED
    how = f"{liveness_file} was touched {span(abs(age))} {'ago' if age >= 0 else 'ahead of this clock'}"
    if abs(age) > max_age:
        click.echo(f"not alive: {how}; the limit is {span(max_age)}")
        return FAILED
    click.echo(f"alive: {how}")
    return 0
