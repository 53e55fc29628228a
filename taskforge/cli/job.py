"""taskforge job"""

from __future__ import annotations

import click

from taskforge.cli.common import Session, call_text, json_option, print_json, queue_option, visible, when
from taskforge.cli.common import command as our_command
from taskforge.info import JobInfo


@our_command("Show everything known about a job.")
@click.argument("job_id", metavar="ID")
@queue_option("Its queue, where two queues know the id.")
@json_option
def command(session: Session, job_id: str, queue: str | None, as_json: bool) -> None:
    """The handle's own info()."""
    info = session.app.job(job_id, queue).info()
    if as_json:
        print_json(info)
        return
    lines = [(head, text) for head, text in _lines(info) if text]
    wide = max(len(head) for head, _ in lines)
    for head, text in lines:
        click.echo(f"{head:>{wide}}  {visible(text)}")
    for error in info.errors:
        which = f"attempt {error.attempt}, " if error.attempt else ""
        click.echo(visible(f"\n{which}{when(error.at)}: {error.type}: {error.message}", keep="\n"))
        if error.traceback:
            click.echo(visible(error.traceback.rstrip(), keep="\n\t"))


def _lines(info: JobInfo) -> list[tuple[str, str]]:
    state = (
        f"{info.state}{f' ({info.reason})' if info.reason else ''}{', asked to stop' if info.stop_requested else ''}"
    )
    progress = info.progress
    return [
        ("id", info.id),
        ("state", state),
        ("task", f"{info.task or '?'}({call_text(info.args, info.kwargs, info.unreadable)})"),
        ("queue", info.queue),
        ("priority", str(info.priority)),
        ("attempts", str(info.attempts)),
        ("crashes", str(info.crashes) if info.crashes else ""),
        ("headers", ", ".join(f"{key}: {value}" for key, value in info.headers.items())),
        ("enqueued", when(info.enqueued_at)),
        ("due", when(info.due_at)),
        ("expires", when(info.expires_at)),
        ("started", when(info.started_at)),
        ("worker", info.worker or ""),
        ("lease until", when(info.lease_until)),
        ("ended", when(info.ended_at)),
        ("kept until", when(info.kept_until)),
        ("progress", f"{progress.done:g} of {progress.total or '?'} {progress.note}" if progress else ""),
    ]
