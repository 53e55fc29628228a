"""Plain words for what a broker is asked and told."""

from __future__ import annotations

from collections.abc import Sequence

from taskforge.brokers.protocol import Demand
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement
from taskforge.testing.simulation.ledger import Ledger


def told(ledger: Ledger, settlement: Settlement, refused: bool) -> str:
    """What the broker makes of a settlement."""
    what = said(ledger, settlement)
    return f"refuses, for it comes too late: {what}" if refused else f"agrees: {what}"


def said(ledger: Ledger, settlement: Settlement) -> str:
    """What a settlement says of its job."""
    delivery = settlement.delivery
    job = ledger.entry(delivery.id).delivery(delivery.number)
    match settlement:
        case Ack():
            return f"{job} has succeeded"
        case Requeue(delay=None):
            return f"{job} is handed back"
        case Requeue(delay=delay, counts=counts):
            assert delay is not None
            return f"{job} {'is retried' if counts else 'snoozes'} in {delay.total_seconds():g} s"
        case Bury(reason=reason):
            return f"{job} is dead ({reason})"
        case Cancel(reason=reason):
            return f"{job} is cancelled ({reason})"


def asked(ledger: Ledger, demand: Demand, settlements: Sequence[Settlement]) -> str:
    """What an exchange is about."""
    parts = [said(ledger, settlement) for settlement in settlements]
    if demand.queues:
        ahead = max(demand.ahead.values(), default=0)
        parts.append(f"wants {max(0, demand.free[0])}" + (f" and {ahead} ahead" if ahead else ""))
    return f": {'; '.join(parts)}" if parts else ""
