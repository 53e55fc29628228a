"""The way to one Redis server: calls, each one try on a connection that no other thread uses meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import cast

from redis.exceptions import RedisError, ResponseError

from taskforge.brokers.deadline import left
from taskforge.brokers.redis.lending import Lending
from taskforge.brokers.redis.link import Command, Link, Links, Reply
from taskforge.brokers.redis.refusals import broker_error, is_unknown_script
from taskforge.brokers.redis.scripts import Value, script_of
from taskforge.brokers.redis.speech import Speaker
from taskforge.errors import BrokerError, BrokerUnavailable

#: The most connections of one process for calls: one for its exchanger or the sender of its enqueues, one for all the
#: rest. Calls are short; who finds both in use waits.
CONNECTIONS = 2


class Wire:
    """Connections to one server, kept for the next call. `check` is what a process asks of the server first."""

    def __init__(self, url: str, timeout: float, check: Callable[[Wire], None]) -> None:
        self._links = Links(url, timeout)
        self._timeout = timeout
        self._check = check
        self._checked_in: int | None = None
        self._confirm: tuple[Command, ...] = ()
        self._begin()

    def confirm_with(self, *command: Value) -> None:
        """From now on follow each changing call with this WAIT or WAITAOF, and believe the call if that confirms."""
        self._confirm = (command,)

    def describe(self) -> str:
        """The server, without any password."""
        return self._links.describe()

    def open(self) -> None:
        """Check the server."""
        self._check(self)
        self._checked_in = os.getpid()

    def connection(self) -> Link:
        """A new connection for the caller's own use, connected."""
        self._ensure_checked()
        link = self._links.make()
        try:
            link.connect()
        except (RedisError, OSError) as error:
            raise self.broker_error(error) from error
        return link

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
            if not isinstance(error, ResponseError):
                self.close()  # what broke this connection has likely broken the idle ones too
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

    def broker_error(self, error: Exception) -> BrokerError:
        """What an error of redis-py means to us."""
        return broker_error(error, self.describe())

    def _ensure_checked(self) -> None:
        if self._checked_in != os.getpid():
            self.open()

    def _begin(self) -> None:
        # A forked child must not speak on its parent's connections. Dropping them closes the child's copies only:
        # redis-py shuts a socket down in no process but the one that made it.
        self._pid = os.getpid()
        self._speakers = Lending(lambda: Speaker(self._links.make()), CONNECTIONS)

    def _check_confirmed(self, reply: Reply) -> None:
        copies = reply[0] if isinstance(reply, list) else reply
        if isinstance(copies, int) and copies > 0:
            return
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
