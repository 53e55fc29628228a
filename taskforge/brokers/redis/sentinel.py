"""The way to a master whose place only its sentinels know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from redis.exceptions import AuthenticationError, ConnectionError, NoPermissionError, RedisError, ResponseError

from taskforge.brokers.redis.following import Following
from taskforge.brokers.redis.link import Command, Link, Links, Reply
from taskforge.brokers.redis.refusals import names_no_master
from taskforge.errors import BrokerRefused, SettingsError

#: How the URLs begin that name sentinels; with the second, sentinels and servers are spoken to over TLS.
SCHEMES = ("redis+sentinel://", "rediss+sentinel://")
#: Where sentinels listen unless the URL says otherwise.
PORT = 26379
#: A sentinel may take so long (seconds) for each part of its answer; then the next one is asked.
SENTINEL_WITHIN = 1.0


class Address(NamedTuple):
    """Where a server or a sentinel listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Word(NamedTuple):
    """What a sentinel says. A failover raises the epoch: of two words the one of the higher epoch is the newer."""

    master: Address
    epoch: int


class MasterLinks:
    """A Dialler to the master: each new connection asks the sentinels where it is, and the server whether it is it.

    User and password in the URL are the servers'; those of the sentinels, where they have any, are the URL's options
    `sentinel_username` and `sentinel_password`.
    """

    follows = True

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._sentinels = _addresses(parts)
        self._name, _, self._db = unquote(parts.path.strip("/")).partition("/")
        if not self._name:
            raise SettingsError(f"broker: the URL names no master: {parts.scheme}://host:port,host:port/master-name")
        self._here = f"{parts.scheme}://{','.join(map(str, self._sentinels))}/{self._name}"
        self._server, self._sentinel = _links(parts, self._db)
        self._following = Following(self._moved)
        self._master: Address | None = None
        self._epoch = -1
        #: A master that has failed. While a failover is under way most sentinels still name it: others are tried first.
        self._distrusted: Address | None = None

    def connect(self, timeout: float) -> Link:
        """A new connection to the master, connected. Raises ConnectionError, naming what was tried, if there is none.

        BrokerRefused if the sentinels know no master of this name, AuthenticationError if nobody lets us in.
        """
        troubles: list[str] = []
        for address, epoch in self._named(timeout, troubles):
            try:
                link = self._to_master(address, timeout)
            except (RedisError, OSError) as error:
                refused = isinstance(error, AuthenticationError | ResponseError) and not names_no_master(error)
                if refused:  # by any of them, then: it is the same password and the same database everywhere
                    raise
                self._distrusted = address
                troubles.append(f"master {address}: {error}")
            else:
                self._master, self._epoch, self._distrusted = address, epoch, None
                self._following.add(link)
                return link
        raise ConnectionError("; ".join(troubles))

    def distrust(self) -> None:
        """The last connection failed: see whether the sentinels name another master by now."""
        self._distrusted = self._master

    def describe(self) -> str:
        """The sentinels, the master's name, and where it was when last seen."""
        return f"{self._here}/{self._db or 0} (master {self._master or 'not found yet'})"

    def _moved(self) -> bool:
        """Whether a sentinel knows of a newer master than the one we are connected to."""
        for sentinel in list(self._sentinels):
            try:
                master, epoch = self._ask(sentinel, SENTINEL_WITHIN)
            except (BrokerRefused, RedisError, OSError):
                continue
            if epoch > self._epoch and master != self._master:
                self.distrust()
                return True
        return False

    def _named(self, timeout: float, troubles: list[str]) -> Iterator[Word]:
        """The masters that sentinels name, each once. Asks no more of them than needed.

        What is older than we know, or names a master that has just failed, comes last.
        """
        doubtful: dict[Address, Word] = {}
        tried: set[Address] = set()
        refusal: BrokerRefused | AuthenticationError | None = None
        for sentinel in list(self._sentinels):
            try:
                word = self._ask(sentinel, min(timeout, SENTINEL_WITHIN))
            except BrokerRefused as error:
                refusal = refusal or error
            except AuthenticationError as error:
                refusal = AuthenticationError(f"sentinel {sentinel}: {error} (its password is ?sentinel_password=…)")
            except (RedisError, OSError) as error:
                troubles.append(f"sentinel {sentinel}: {error}")
                self._sentinels.sort(key=sentinel.__eq__)  # the last to be asked next time
            else:
                if word.epoch < self._epoch or word.master == self._distrusted:
                    doubtful[word.master] = word
                elif word.master not in tried:
                    tried.add(word.master)
                    yield word
        yield from (word for master, word in doubtful.items() if master not in tried)
        if not tried and not doubtful and refusal is not None:
            raise refusal

    def _ask(self, sentinel: Address, timeout: float) -> Word:
        """What this sentinel says. Raises BrokerRefused, naming the masters it knows, if it does not know ours."""
        link = self._sentinel.connect(timeout, *sentinel)
        try:
            place = _answer(link, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name))
            if isinstance(place, list):
                host, port = cast("list[bytes]", place)
                facts = cast("list[bytes]", _answer(link, ("SENTINEL", "MASTER", self._name)))
                return Word(Address(host.decode(), int(port)), int(_fact(facts, b"config-epoch")))
            masters = cast("list[list[bytes]]", _answer(link, ("SENTINEL", "MASTERS")))
        finally:
            link.disconnect()
        known = [_fact(facts, b"name").decode() for facts in masters]
        raise BrokerRefused(
            f"the sentinel {sentinel} knows no master {self._name!r} (it knows {', '.join(known) or 'none'}); "
            "check the name in the broker's URL"
        )

    def _to_master(self, address: Address, timeout: float) -> Link:
        """A connection to this server. Raises ConnectionError if it is a replica."""
        link = self._server.connect(timeout, *address)
        try:
            role = _answer(link, ("ROLE",))
        except NoPermissionError:
            return link  # the sentinels' word must do
        except BaseException:
            link.disconnect()
            raise
        if isinstance(role, list) and role[0] != b"master":
            link.disconnect()
            raise ConnectionError("it is a replica")
        return link


def _answer(link: Link, command: Command) -> Reply:
    link.send_packed_command(link.pack_command(*command), check_health=False)
    return link.read_response(disable_decoding=True)


def _fact(facts: Sequence[bytes], name: bytes) -> bytes:
    """One of the facts that a sentinel tells of a master: names and values in turn."""
    return facts[facts.index(name) + 1]


def _addresses(parts: SplitResult) -> list[Address]:
    """The sentinels of the URL, each once."""
    found: list[Address] = []
    for each in parts.netloc.rpartition("@")[2].split(","):
        try:
            place = urlsplit(f"//{each}")
            found.append(Address(place.hostname or "localhost", PORT if place.port is None else place.port))
        except ValueError as error:
            raise SettingsError(f"broker: the URL is not one of Redis: its sentinel {each!r}: {error}") from error
    return list(dict.fromkeys(found))


def _links(parts: SplitResult, db: str) -> tuple[Links, Links]:
    """The ways to servers, and to sentinels: the same options, but for user, password and database."""
    scheme = parts.scheme.partition("+")[0]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    user, password = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    login = parts.netloc.rpartition("@")[0]
    servers = f"{scheme}://{login}@host/{db}?{urlencode(options)}"
    shared = {name: value for name, value in options.items() if name.startswith("ssl_")}
    sentinels = f"{scheme}://{quote(user, '')}:{quote(password, '')}@host/?{urlencode(shared)}"
    return Links(servers), Links(sentinels)
