"""The way to one Redis server: calls, each one try on a connection that no other thread uses meanwhile."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

from redis.exceptions import NoScriptError, RedisError, ResponseError

from taskforge.brokers.deadline import left
from taskforge.brokers.redis.link import Command, Link, Links, Reply, bound
from taskforge.brokers.redis.refusals import broker_error
from taskforge.brokers.redis.scripts import Value, script_of
from taskforge.errors import BrokerError, BrokerUnavailable

_Answer: TypeAlias = "Reply | ResponseError"


class Wire:
    """Connections to one server, kept for the next call. `check` is what a process asks of the server first."""

    def __init__(self, url: str, timeout: float, check: Callable[[Wire], None]) -> None:
        self._links = Links(url, timeout)
        self._timeout = timeout
        self._check = check
        self._checked_in: int | None = None
        self._confirm: tuple[Command, ...] = ()
        self._pid = os.getpid()
        self._idle: deque[Link] = deque()

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
        link = self._borrow()
        try:
            bound(link, left(self._timeout))
            replies = _converse(link, commands, self._confirm if changing else ())
        except (RedisError, OSError) as error:
            link.disconnect()
            if not isinstance(error, ResponseError):
                self.close()  # what broke this connection has likely broken the idle ones too
            raise self.broker_error(error) from error
        except BaseException:
            link.disconnect()
            raise
        if changing and self._confirm:
            self._check_confirmed(link, replies.pop())
        self._idle.append(link)
        return replies

    def close(self) -> None:
        """Let the idle connections go."""
        idle = self._idle
        while idle:
            try:
                idle.pop().disconnect()
            except IndexError:  # another thread was faster
                return

    def broker_error(self, error: Exception) -> BrokerError:
        """What an error of redis-py means to us."""
        return broker_error(error, self.describe())

    def _ensure_checked(self) -> None:
        if self._checked_in != os.getpid():
            self.open()

    def _borrow(self) -> Link:
        if self._pid != os.getpid():
            # A forked child must not speak on its parent's connections. Dropping them closes the child's copies only:
            # redis-py shuts a socket down in no process but the one that made it.
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._links.make()

    def _check_confirmed(self, link: Link, reply: Reply) -> None:
        copies = reply[0] if isinstance(reply, list) else reply
        if isinstance(copies, int) and copies > 0:
            return
        link.disconnect()
        raise BrokerUnavailable(
            f"{self.describe()} did not confirm in time that the change is safe, outcome unknown; "
            f"check its append-only file and its replicas ({self._confirm[0][0]!s} answered {copies!r})"
        )


def _converse(link: Link, commands: Sequence[Command], confirm: Sequence[Command]) -> list[Reply]:
    """Replies to these commands, and to `confirm` in last place. Scripts that the server does not know are loaded."""
    answers = _exchange(link, [*commands, *confirm])
    unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        loads: list[Command] = [("SCRIPT", "LOAD", text) for text in {script_of(commands[i]).source for i in unknown}]
        again = _exchange(link, [*loads, *(commands[i] for i in unknown), *confirm])[len(loads) :]
        for i, answer in zip(unknown, again[: len(unknown)], strict=True):
            answers[i] = answer
        answers[len(commands) :] = again[len(unknown) :]
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise answer
    return cast("list[Reply]", answers)


def _exchange(link: Link, commands: Sequence[Command]) -> list[_Answer]:
    packed = link.pack_command(*commands[0]) if len(commands) == 1 else link.pack_commands(commands)
    link.send_packed_command(packed, check_health=False)
    return [_read(link) for _ in commands]


def _read(link: Link) -> _Answer:
    try:
        return link.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
