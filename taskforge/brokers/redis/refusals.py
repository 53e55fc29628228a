"""What an error of Redis means to us, in words that name the server and say what to check."""

from __future__ import annotations

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from taskforge.brokers.redis.keys import EPOCH
from taskforge.errors import BrokerError, BrokerRefused, BrokerUnavailable, BrokerUnsupported, StaleCall

#: redis-py makes classes of some error codes and then leaves the code out of the text.
_CODES = {
    AuthenticationError: "NOAUTH",
    BusyLoadingError: "LOADING",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
}
#: "Not now": the call may be sent again.
_PASSING = ("BUSY", "LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "UNKILLABLE", "UNBLOCKED")
#: It says so to a new connection, without a code, and closes it.
_CROWDED = "max number of clients"
#: How a server begins that is not, or not yet, the master.
_NO_MASTER = ("READONLY ", "LOADING ", "MASTERDOWN ", "UNBLOCKED ", "NOREPLICAS ")
#: "No", and nothing happened; what to check then.
_REFUSING = {
    "READONLY": "that the URL names the master",
    "OOM": "its maxmemory",
    "MISCONF": "its disk and its log",
    "NOPERM": "the rights of its user (ACL)",
    "NOREPLICAS": "its replicas",
}


def broker_error(error: Exception, here: str) -> BrokerError:
    """The error to raise instead; the caller keeps the foreign one as its cause."""
    said = str(error)
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), said.partition(" ")[0])
    match code:
        case "STALE":
            last = said.split()[1]
            since = "was closed when its process died" if last == "closed" else f"has made call {last} since"
            return StaleCall(f"{here}: this sender {since}, so this call changed nothing")
        case "LAYOUT":
            return BrokerUnsupported(
                f"{here} holds a queue of layout {said.split()[1]}, this taskforge reads layout {EPOCH}: "
                "use the release that wrote it until its queues are empty, or name another prefix"
            )
        case "NOAUTH" | "WRONGPASS":
            return BrokerUnsupported(f"{here} does not let us in: {said}; check user and password in the broker's URL")
    if code in _REFUSING:
        return BrokerRefused(f"{here} refused, and nothing happened: {said}; check {_REFUSING[code]}")
    if isinstance(error, ResponseError) and code not in _PASSING and _CROWDED not in said and not _passing_class(error):
        return BrokerUnsupported(f"{here} cannot do this: {said}; check that it is Redis 7.0 or newer, or Valkey")
    return BrokerUnavailable(f"no answer from {here}: {said or type(error).__name__}; check that it runs, and the URL")


def is_unknown_script(answer: object) -> bool:
    """Whether this reply says that the server does not know the script."""
    return isinstance(answer, NoScriptError) or (
        isinstance(answer, ResponseError) and str(answer).startswith("NOSCRIPT ")
    )


def names_no_master(error: Exception) -> bool:
    """Whether this reply is that of a server which is the master no more, or lets us wait until it knows."""
    return isinstance(error, ReadOnlyError | BusyLoadingError) or (
        isinstance(error, ResponseError) and str(error).startswith(_NO_MASTER)
    )


def _passing_class(error: ResponseError) -> bool:
    # ClusterDownError, MasterDownError and TryAgainError have lost their codes as well.
    return type(error).__name__.removesuffix("Error").upper() in _PASSING
