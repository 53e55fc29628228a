"""What users do wrong, or have broken: one readable line, the right exit code, no traceback of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskforge.app import Taskforge
from tests.bad_input.fake_redis import closed_port
from tests.cli.harness import Run

#: Every command that needs an app, with what else it needs.
NEEDING = {
    "worker": ["--burst", "--processes", "1"],
    "enqueue": ["shop.add", "1"],
    "result": ["x"],
    "queues": [],
    "jobs": ["ready"],
    "job": ["x"],
    "redrive": ["x"],
    "cancel": ["x"],
    "purge": ["ready", "-q", "default", "--yes"],
}

BROKEN = {
    "error": ("raise RuntimeError('no such table')", "failed: RuntimeError: no such table"),
    "exit": ("import sys; sys.exit(4)", "ended the program (exit code 4)"),
    "quit": ("raise SystemExit", "ended the program"),
    "missing": ("import no_such_package_at_all", "No module named 'no_such_package_at_all'"),
    "syntax": ("def broken(:", "SyntaxError"),
    "none": ("x = 1", "there is no app in"),
    "two": (
        "from taskforge import Taskforge\none = Taskforge('one')\ntwo = Taskforge('two')",
        "has 2 apps; say which: -A {name}:one or -A {name}:two",
    ),
    "setting": ("from taskforge import Taskforge\napp = Taskforge('a', leese=5)", "did you mean 'lease'"),
    "option": (
        "from taskforge import Taskforge\napp = Taskforge('a')\n@app.task(queue='{')\ndef f(): pass",
        "queue must not contain braces",
    ),
    "include": ("from taskforge import Taskforge\napp = Taskforge('a', include=['no_such_part'])", "'no_such_part'"),
    "interrupt": ("raise KeyboardInterrupt", ""),
}


@pytest.mark.parametrize("command", NEEDING)
@pytest.mark.parametrize("kind", [kind for kind in BROKEN if kind != "interrupt"])
def test_an_app_that_cannot_be_loaded_is_wrong_usage_with_the_reason(
    run: Run, folder: Path, command: str, kind: str
) -> None:
    source, says = BROKEN[kind]
    name = f"broken_{command}_{kind}"
    (folder / f"{name}.py").write_text(source)

    said = run("-A", name, command, *NEEDING[command], bare=True)

    assert (said.code, said.out) == (2, "")
    assert says.replace("{name}", name) in said.err


def test_an_include_that_ends_the_program_is_wrong_usage_with_the_reason(run: Run, folder: Path) -> None:
    (folder / "leaving.py").write_text("import sys; sys.exit(0)")
    (folder / "including.py").write_text("from taskforge import Taskforge\napp = Taskforge('a', include=['leaving'])")

    said = run("-A", "including", "queues", bare=True)

    assert said.code == 2
    assert "'leaving'" in said.err


def test_the_error_of_an_import_is_shown_where_it_is(run: Run, folder: Path) -> None:
    (folder / "broken_here.py").write_text("x = 1\n\nraise RuntimeError('no such table')\n")

    said = run("-A", "broken_here", "queues", bare=True)

    assert 'broken_here.py", line 3' in said.err


def test_an_interrupt_at_import_is_130(run: Run, folder: Path) -> None:
    (folder / "slow_import.py").write_text("raise KeyboardInterrupt")

    assert run("-A", "slow_import", "queues", bare=True).code == 130


@pytest.mark.parametrize("command", NEEDING)
def test_no_app_is_wrong_usage_with_both_ways_to_name_one(run: Run, command: str) -> None:
    said = run(command, *NEEDING[command], bare=True)

    assert (said.code, said.out) == (2, "")
    assert "-A module[:app]" in said.err
    assert "TASKFORGE_APP" in said.err


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no_such_module", "there is no module 'no_such_module' here"),
        ("no.such.module", "there is no module 'no' here"),
        ("{module}:other", "has no app named 'other'; it has: app"),
        ("{module}:add", "has no app named 'add'"),
        ("", "-A"),
        (":app", "-A"),
        (".", "-A"),
        ("..x:app", "-A"),
        ("{module}.py", "-A"),
        ("a b", "'a b'"),
    ],
)
def test_a_bad_path_to_an_app_is_wrong_usage(run: Run, module: str, path: str, says: str) -> None:
    said = run("-A", path.replace("{module}", module), "queues", bare=True)

    assert (said.code, said.out) == (2, "")
    assert says in said.err


def test_the_app_may_be_named_before_or_after_the_command_or_in_the_environment(
    run: Run, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run("-A", module, "queues", bare=True)
    after = run("queues", "-A", f"{module}:app", bare=True)
    monkeypatch.setenv("TASKFORGE_APP", module)
    environment = run("queues", bare=True)

    assert before.code == after.code == environment.code == 0
    assert before.out == after.out == environment.out


def test_the_nearer_of_two_names_wins(run: Run, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFORGE_APP", "no_such_module")

    assert run("-A", module, "queues", bare=True).code == 0
    assert run("-A", "no_such_other", "queues", "-A", module, bare=True).code == 0


@pytest.mark.parametrize("command", NEEDING)
def test_a_broker_that_is_down_is_3_with_what_to_check(
    run: Run, folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("TASKFORGE_BROKER", url)
    monkeypatch.setenv("TASKFORGE_CALL_TIMEOUT", "0.2")

    said = run(command, *NEEDING[command])

    assert (said.code, said.out) == (3, "")
    assert url in said.err
    assert "check that it runs, and the URL" in said.err


@pytest.mark.parametrize("command", NEEDING)
def test_a_file_that_is_no_database_is_3(run: Run, folder: Path, command: str) -> None:
    (folder / "jobs.db").write_text("Dear diary, " * 1_000)

    said = run(command, *NEEDING[command])

    assert (said.code, said.out) == (3, "")
    assert "is no SQLite database; name another file" in said.err


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("BROKER", "reddis://x", "did you mean 'redis'"),
        ("BROKER", "jobs.db", "is no scheme of a broker"),
        ("LEASE", "soon", "TASKFORGE_LEASE must be a number of seconds"),
        ("THREADS", "many", "TASKFORGE_THREADS"),
        ("DURABILITY", "ram", "TASKFORGE_DURABILITY must be one of"),
    ],
)
@pytest.mark.parametrize("command", ["worker", "queues"])
def test_a_bad_setting_in_the_environment_is_wrong_usage(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str, command: str
) -> None:
    monkeypatch.setenv(f"TASKFORGE_{variable}", value)

    said = run(command, *NEEDING[command])

    assert (said.code, said.out) == (2, "")
    assert says in said.err


def test_a_bad_option_in_the_environment_names_its_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFORGE_WORKER_PROCESSES", "many")

    said = run("worker")

    assert said.code == 2
    assert "TASKFORGE_WORKER_PROCESSES" in said.err


@pytest.mark.parametrize(
    "written",
    [["-c", "0"], ["--slots", "0"], ["--processes", "0"], ["-l", "loud"], ["-Q"], ["--brust"], ["extra"]],
    ids=str,
)
def test_a_bad_option_of_worker_is_wrong_usage(run: Run, written: list[str]) -> None:
    assert run("worker", *written).code == 2


@pytest.mark.parametrize("name", ["{x}", "a\nb", "q" * 201])
def test_a_worker_of_a_queue_that_cannot_be_is_wrong_usage(run: Run, name: str) -> None:
    assert run("worker", "--burst", "--processes", "1", "-Q", name).code == 2


def test_a_worker_on_memory_is_wrong_usage_with_the_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFORGE_BROKER", "memory://")

    said = run("worker")

    assert said.code == 2
    assert "app.worker()" in said.err


def test_a_password_is_in_no_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFORGE_BROKER", f"redis://me:s3cret@127.0.0.1:{closed_port()}")
    monkeypatch.setenv("TASKFORGE_CALL_TIMEOUT", "0.2")

    assert "s3cret" not in run("queues").err


def test_an_interrupt_while_waiting_is_130_and_the_job_goes_on(
    run: Run, app: Taskforge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("taskforge.handle.JobHandle.result", interrupted)

    said = run("enqueue", "shop.add", "1", "--wait", "10", "--job-id", "mine")

    assert said.code == 130
    assert app.job("mine").state() == "ready"
