"""The command line. Each command is a module of its own, loaded when it is used."""

from __future__ import annotations

import importlib
import sys

import click

from taskforge.cli.common import Session, app_option, exit_code_of, say_error

#: Command → the module that has it as `command`, and its line in `taskforge --help`, so that help loads none of them.
COMMANDS = {
    "worker": ("taskforge.cli.worker", "Run jobs."),
    "enqueue": ("taskforge.cli.enqueue", "Enqueue a job."),
    "result": ("taskforge.cli.result", "Print a job's result, waiting for it if asked."),
    "queues": ("taskforge.cli.queues", "Count the jobs of each queue by state."),
    "jobs": ("taskforge.cli.jobs", "List the jobs in a state."),
    "job": ("taskforge.cli.job", "Show everything known about a job."),
    "redrive": ("taskforge.cli.redrive", "Run dead or cancelled jobs again."),
    "cancel": ("taskforge.cli.cancel", "Cancel jobs."),
    "purge": ("taskforge.cli.purge", "Delete the jobs in a state."),
    "status": ("taskforge.cli.status", "Show the workers that live."),
    "control": ("taskforge.cli.control", "Ask workers to drain, resume, shutdown, dump or restart."),
    "scale": ("taskforge.cli.scale", "Tell how many worker processes are wanted."),
    "probe": ("taskforge.cli.probe", "Say whether a worker lives, by its liveness file."),
    "completion": ("taskforge.cli.completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """Loads a command's module when the command is called, or its own help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "TASKFORGE"})
@app_option(envvar="TASKFORGE_APP")
@click.version_option(package_name="taskforge", prog_name="taskforge")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A task queue that cannot lose, repeat or hide a job.

    Name your app with -A module[:app], before or after the command, or in TASKFORGE_APP. Every option can be given as
    TASKFORGE_<COMMAND>_<OPTION>, every setting as TASKFORGE_<SETTING>.

    \b
    Exit codes: 0 done; 1 a job failed; 2 wrong usage, or the app does not import; 3 the broker cannot be reached;
    69 no worker answers.
    """
    ctx.ensure_object(Session)


def with_variable(error: click.ClickException) -> click.ClickException:
    """The same, saying which environment variable a bad value came from: who set it long ago sees no option."""
    if not (isinstance(error, click.BadParameter) and error.ctx and error.param and error.param.name):
        return error
    if error.ctx.get_parameter_source(error.param.name) is not click.core.ParameterSource.ENVIRONMENT:
        return error
    variable = f"{error.ctx.auto_envvar_prefix}_{error.param.name.upper()}"
    return click.BadParameter(f"{error.message} (from the environment: {variable})", error.ctx, error.param)


def main() -> None:
    """The console script."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        with_variable(error).show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away, as `| head` does: say nothing more
        sys.exit(0)
    except Exception as error:
        code = exit_code_of(error)
        if code is None:
            raise
        say_error(error)
        sys.exit(code)
    sys.exit(code if isinstance(code, int) else 0)
