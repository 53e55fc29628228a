"""taskforge enqueue"""

from __future__ import annotations

import json
from datetime import datetime

import click

from taskforge.cli.common import Session, json_option, print_json, queue_option
from taskforge.cli.common import command as our_command
from taskforge.settings import nearest


@our_command(
    "Enqueue a job: TASK by its name, then its arguments, each as VALUE or NAME=VALUE. A value is read as JSON where "
    'it is JSON (3, true, ["a"]), else as text; "=3" is the text 3. After "--" a value may begin with a dash: -- -1.'
)
@click.argument("task")
@click.argument("arguments", nargs=-1)
@queue_option("Its queue [the task's].")
@click.option("-p", "--priority", type=int, help="-100 to 100, higher first.")
@click.option("--delay", type=float, metavar="SECONDS", help="Not before so many seconds from now.")
@click.option("--at", type=datetime.fromisoformat, metavar="TIME", help="Not before; ISO 8601 with a zone.")
@click.option("--expires", type=float, metavar="SECONDS", help="Cancelled if not begun by then.")
@click.option("--job-id", help="An id of your own: enqueuing it twice makes one job.")
@click.option("--wait", type=float, metavar="SECONDS", help="Wait for the result and print it.")
@json_option
def command(
    session: Session,
    task: str,
    arguments: tuple[str, ...],
    wait: float | None,
    as_json: bool,
    **options: object,
) -> None:
    """Through the same path as user code; a task that is not registered here may be known to a worker."""
    app = session.app
    args = [_value(text) for text in arguments if not _is_named(text)]
    kwargs = {name: _value(text) for name, _, text in (each.partition("=") for each in arguments if _is_named(each))}
    given = {name: value for name, value in options.items() if value is not None}
    call = app.by_name(task)
    if len(app.tasks) and app.tasks.get(task) is None:
        hint = nearest(task, [each.name for each in app.tasks])
        click.echo(f"taskforge: {task!r} is no task of this app, and waits for a worker that knows it{hint}", err=True)
    handle = call.using(**given).enqueue(*args, **kwargs)  # type: ignore[arg-type]  # checked by using()
    if wait is None:
        print_json({"id": handle.id, "queue": handle.queue, "new": handle.new}) if as_json else click.echo(handle.id)
        return
    result = handle.result(timeout=wait)
    print_json({"id": handle.id, "result": result}) if as_json else click.echo(repr(result))


def _is_named(text: str) -> bool:
    name, equals, _ = text.partition("=")
    return bool(equals) and name.isidentifier()


def _value(text: str) -> object:
    if text.startswith("="):
        return text[1:]
    try:
        return json.loads(text)
    except ValueError:
        return text
