"""The way to one Redis server: calls, each one try on a connection that no other thread uses meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import cast

from redis.exceptions import RedisError, ResponseError

from taskforge.brokers.deadline import left, until
from taskforge.brokers.redis.lending import Lending
from taskforge.brokers.redis.link import Command, Dialler, Link, Links, Reply
from taskforge.brokers.redis.refusals import broker_error, is_unknown_script, names_no_master
from taskforge.brokers.redis.scripts import Value, script_of
from taskforge.brokers.redis.sentinel import SCHEMES, MasterLinks
from taskforge.brokers.redis.speech import Speaker
from taskforge.errors import BrokerError, BrokerRefused, BrokerUnavailable, BrokerUnsupported

#: The most connections of one process for calls: one for its exchanger or the sender of its enqueues, one for all the
#: rest. Calls are short; who finds both in use waits.
CONNECTIONS = 2
#: After a lost connection the server is asked for a sign of life, and gets this long (seconds) for each part of it: a
#: packet that was lost on a dead network must not hold us when the network is back.
SIGN_OF_LIFE = 2.0
#: How often (seconds) a master whose replicas must confirm is asked how many it has: one that joins counts, too.
CHECK_REPLICAS_EVERY = 10.0
_NEVER = float("inf")


class Wire:
    """Connections to one server, kept for the next call. `check` is what is asked of the server first, by each process
    and after each loss: who answers then may be another one.
    """

    def __init__(self, url: str, timeout: float, check: Callable[[Wire], None]) -> None:
        self._links: Dialler = MasterLinks(url) if url.startswith(SCHEMES) else Links(url)
        self._timeout = timeout
        self._check = check
        self._checked_in: int | None = None
        self._served = False
        #: How many connections were lost. What was connected before the last loss is not to be trusted.
        self.losses = 0
        self._confirm: tuple[Command, ...] = ()
        self._copies, self._check_again_at = 1, _NEVER
        self._begin()

    def confirm_with(self, *command: Value) -> None:
        """From now on follow each changing call with this WAIT or WAITAOF, and believe the call if that confirms."""
        self._confirm = (command,)

    def require_replicas(self, count: int) -> None:
        """Believe a change that WAIT confirms once so many replicas have it; check again soon how many there are."""
        self._copies, self._check_again_at = count, time.monotonic() + CHECK_REPLICAS_EVERY
        self._confirm = tuple((name, count, *rest) for name, _, *rest in self._confirm)

    def describe(self) -> str:
        """The server, without any password."""
        return self._links.describe()

    @property
    def follows(self) -> bool:
        """Whether a server that is the master no more is left for the one that is."""
        return self._links.follows

    def open(self) -> None:
        """Check the server. Raises BrokerUnsupported for one that never served us, and cannot."""
        losses = self.losses
        try:
            with until(time.monotonic() + left(SIGN_OF_LIFE if losses else self._timeout)):
                self._check(self)
        except BrokerUnsupported as error:
            if self._served:
                raise BrokerRefused(f"{error} (it has served us before)") from error
            raise
        self._served = True
        if self.losses == losses:
            self._checked_in = os.getpid()

    def connection(self) -> Link:
        """A new connection for the caller's own use, connected; its reads wait no longer than SIGN_OF_LIFE."""
        self._ensure_checked()
        try:
            return self._links.connect(left(min(SIGN_OF_LIFE, self._timeout)))
        except (RedisError, OSError) as error:
            self.lose(error)
            raise self.broker_error(error) from error

    def call(self, commands: Sequence[Command], *, changing: bool = False) -> list[Reply]:
        """Send these commands at once and return their replies. One try: any error discards the connection."""
        self._ensure_checked()
        return self.ask(commands, changing=changing)

    def ask(self, commands: Sequence[Command], *, changing: bool = False) -> list[Reply]:
        """The same, of a server that may not have been checked."""
        if self._pid != os.getpid():
            self._begin()
        timeout, lending = left(self._timeout), self._speakers
        speaker = lending.borrow(timeout)
        if speaker is None:
            raise BrokerUnavailable(f"{self.describe()} did not answer earlier calls of this process in time")
        confirm = self._confirm if changing else ()
        try:
            replies = _converse(speaker, commands, confirm, timeout)
            if confirm:
                self._check_confirmed(replies.pop())
            return replies
        except (RedisError, OSError) as error:
            speaker.hang_up()
            self.lose(error)
            raise self.broker_error(error) from error
        except BaseException:
            speaker.hang_up()
            raise
        finally:
            lending.give_back(speaker)

    def close(self) -> None:
        """Let the idle connections go; those in use may stay."""
        for speaker in self._speakers.take_idle():
            speaker.hang_up()
            self._speakers.give_back(speaker)

    def lose(self, error: Exception) -> None:
        """A connection ended with this error. Unless it was a reply, what broke it has likely broken the others."""
        if not isinstance(error, ResponseError) or (self.follows and names_no_master(error)):
            self.losses += 1
            self._checked_in = None
            self._links.distrust()
            self.close()

    def broker_error(self, error: Exception) -> BrokerError:
        """What an error of redis-py means to us."""
        if self.follows and names_no_master(error):
            return BrokerUnavailable(f"{self.describe()} is the master no more; the next try asks for another: {error}")
        return broker_error(error, self.describe())

    def _ensure_checked(self) -> None:
        if self._checked_in != os.getpid() or (
            self._check_again_at < _NEVER and time.monotonic() > self._check_again_at
        ):
            self.open()

    def _begin(self) -> None:
        # A forked child must not speak on its parent's connections. Dropping them closes the child's copies only:
        # redis-py shuts a socket down in no process but the one that made it.
        self._pid = os.getpid()
        self._speakers = Lending(lambda: Speaker(self._links.connect), CONNECTIONS)

    def _check_confirmed(self, reply: Reply) -> None:
        copies = reply[0] if isinstance(reply, list) else reply
        if isinstance(copies, int) and copies >= self._copies:
            return
        self._checked_in = None  # a replica may be gone
        raise BrokerUnavailable(
            f"{self.describe()} did not confirm in time that the change is safe, outcome unknown; "
            f"check its append-only file and its replicas ({self._confirm[0][0]!s} answered {copies!r})"
        )


def _converse(speaker: Speaker, commands: Sequence[Command], confirm: Sequence[Command], timeout: float) -> list[Reply]:
    """Replies to these commands, and to `confirm` in last place. Scripts that the server does not know are loaded."""
    answers = speaker.ask([*commands, *confirm] if confirm else commands, timeout)
    for answer in answers:
        if isinstance(answer, ResponseError):
            break
    else:
        return cast("list[Reply]", answers)
    unknown = [i for i, answer in enumerate(answers) if is_unknown_script(answer)]
    if unknown:
        loads: list[Command] = [("SCRIPT", "LOAD", text) for text in {script_of(commands[i]).source for i in unknown}]
        again = speaker.ask([*loads, *(commands[i] for i in unknown), *confirm], timeout)[len(loads) :]
        for i, answer in zip(unknown, again[: len(unknown)], strict=True):
            answers[i] = answer
        answers[len(commands) :] = again[len(unknown) :]
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise answer
    return cast("list[Reply]", answers)
