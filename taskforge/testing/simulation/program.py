"""The app that is simulated: its settings, and a task for every way that a run can go."""

from __future__ import annotations

from taskforge.app import Taskforge
from taskforge.current import newest, set_newest
from taskforge.outcome import Discard, Fail, Snooze
from taskforge.retry import Fixed, Retry
from taskforge.run import current_job
from taskforge.task import Call
from taskforge.testing.simulation.ledger import Ledger
from taskforge.testing.simulation.scheduler import Scheduler

PREFIX, QUEUES = "simulation", ("mail", "photos")
#: Seconds. The lease is long enough for the brokers' clock rules (a jump is 10 s), and short enough to be waited for.
LEASE, TIMEOUT, STOP_GRACE, GRACE = 20.0, 8.0, 3.0, 10.0
KEEP_FINISHED, KEEP_RESULT, KEEP_DEAD = 30.0, 60.0, 120.0


def make_app(scheduler: Scheduler) -> Taskforge:
    """The app, with the scheduler's clock. Whatever was the newest app before stays it."""
    before = newest()
    app = Taskforge(
        "simulation",
        broker="memory://",
        prefix=PREFIX,
        durability="default",
        call_timeout=10,
        lease=LEASE,
        # Without jitter, which a seed does not decide.
        retry=Retry(attempts=3, backoff=Fixed(4)),
        timeout=TIMEOUT,
        max_crashes=3,
        finished_age=KEEP_FINISHED,
        result_age=KEEP_RESULT,
        dead_age=KEEP_DEAD,
        grace=GRACE,
        stop_grace=STOP_GRACE,
    )
    if before is not None:
        set_newest(before)
    app.clock = scheduler.clock
    return app


def declare(app: Taskforge, scheduler: Scheduler, ledger: Ledger) -> list[Call[..., object]]:
    """The tasks that clients choose from; the plainest first."""

    def work(seconds: float) -> None:
        scheduler.sleep(seconds)

    @app.task(name="quick", queue="mail", keep=0)
    def quick() -> None:
        """Leaves no record: its id is forgotten as soon as it has ended."""

    @app.task(name="answers", queue="mail")
    def answers() -> int:
        work(1)
        return 42

    @app.task(name="fails", queue="mail")
    def fails(times: int) -> None:
        work(0.5)
        if current_job().attempt <= times:
            raise RuntimeError("on purpose")

    @app.task(name="snoozes", queue="mail")
    def snoozes() -> None:
        if len(ledger.entry(current_job().id).deliveries) == 1:
            raise Snooze(3)

    @app.task(name="parent", queue="photos")
    def parent() -> None:
        run = current_job()
        child = run.enqueue_on_success(quick)
        ledger.name(child.id)
        work(1)

    @app.task(name="slow", queue="photos", timeout=60)
    def slow() -> None:
        """Takes longer than a lease, and ends when it is asked to."""
        for _ in range(4):
            work(LEASE / 3)
            current_job().raise_if_stopped()

    @app.task(name="stubborn", queue="photos", retry=Retry(attempts=2, backoff=Fixed(1)))
    def stubborn() -> None:
        """Takes longer than its timeout, and does not listen."""
        work(TIMEOUT + STOP_GRACE + 4)

    @app.task(name="gives_up", queue="mail")
    def gives_up() -> None:
        raise Fail("on purpose")

    @app.task(name="discards", queue="photos")
    def discards() -> None:
        raise Discard("on purpose")

    return [quick, answers, parent, snoozes, slow, gives_up, discards, stubborn, fails]
