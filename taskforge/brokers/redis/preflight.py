"""What a server must be before it is trusted with jobs."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from taskforge.brokers.redis.link import Reply
from taskforge.brokers.redis.wire import Wire
from taskforge.errors import BrokerRefused, BrokerUnavailable, BrokerUnsupported

logger = logging.getLogger(__name__)

OLDEST = (7, 0)
#: A replica that has said nothing for longer (seconds; usually it does each second) need not confirm: it may be frozen.
LAG = 3
_REPLICA = re.compile(r"slave\d+")
#: WAITAOF came with this version. Valkey says 7.2.4 here.
WAITAOF_SINCE = (7, 2)


def check(wire: Wire, durability: str) -> None:
    """Raise BrokerUnsupported for a server that can never serve us as it is, BrokerRefused for one that cannot now."""
    here = wire.describe()
    try:
        facts = _facts(wire.ask([("INFO",)])[0])
    except (BrokerRefused, BrokerUnsupported) as refusal:
        wire.ask([("PING",)])
        logger.warning(
            "%s does not answer INFO, so its version, role, eviction policy and persistence could not be checked: "
            "see to it that it is Redis 7.0 or newer with maxmemory-policy noeviction (%s)",
            *(here, refusal),
        )
        return
    version = tuple(int(part) for part in facts.get("redis_version", "0").split(".")[:2] if part.isdigit())
    if version < OLDEST:
        raise BrokerUnsupported(f"{here} is Redis {facts.get('redis_version')}; it takes 7.0 or newer, or Valkey")
    if facts.get("role", "master") != "master":
        if wire.follows:
            raise BrokerUnavailable(f"{here} has just become a replica; the next try asks for the new master")
        raise BrokerRefused(f"{here} is a replica; name the master in the broker's URL")
    _check_eviction(here, facts.get("maxmemory_policy", "noeviction"))
    _check_durability(wire, durability, version, facts)


def _check_eviction(here: str, policy: str) -> None:
    if policy.startswith("allkeys-"):
        raise BrokerUnsupported(f"{here} may drop jobs (maxmemory-policy {policy}); set noeviction")
    if policy.startswith("volatile-"):
        logger.warning(
            "%s may forget senders when memory is short (maxmemory-policy %s), and then repeat what is sent again; "
            "set noeviction",
            *(here, policy),
        )


def _check_durability(wire: Wire, durability: str, version: tuple[int, ...], facts: Mapping[str, str]) -> None:
    here = wire.describe()
    if durability == "disk":
        if version < WAITAOF_SINCE:
            raise BrokerUnsupported(f"durability=disk needs WAITAOF (Redis 7.2 or newer, Valkey); {here} is older")
        if facts.get("aof_enabled") != "1":
            raise BrokerUnsupported(f"durability=disk needs the append-only file; set appendonly yes on {here}")
        if _setting(wire, "appendfsync") in ("no", "everysec"):
            # With `everysec`, Redis from 7.4 to 7.4.2 and Valkey (9.1 still) answer WAITAOF up to a second too early.
            raise BrokerUnsupported(f"durability=disk needs an fsync for each write; set appendfsync always on {here}")
    if durability == "replicated":
        replicas = sum(map(_follows_closely, (fact for name, fact in facts.items() if _REPLICA.fullmatch(name))))
        if replicas < 1:
            raise BrokerUnsupported(f"durability=replicated needs a replica; {here} has none connected")
        # All of them: in a failover on order, those that are not promoted go on confirming to the old master.
        wire.require_replicas(replicas)


def _follows_closely(fact: str) -> bool:
    told = dict(part.partition("=")[::2] for part in fact.split(","))
    return told.get("state") == "online" and int(told.get("lag", "0")) <= LAG


def _setting(wire: Wire, name: str) -> str:
    """What the server's configuration says; nothing where it may not be asked."""
    try:
        pair = wire.ask([("CONFIG", "GET", name)])[0]
    except (BrokerRefused, BrokerUnsupported):
        return ""
    return pair[1].decode() if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], bytes) else ""


def _facts(info: Reply) -> dict[str, str]:
    text = info.decode() if isinstance(info, bytes) else ""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
