"""One exchange after the other, each sent until it is answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from taskforge.brokers.protocol import LOOK_EVERY, Broker, Demand, Exchange
from taskforge.brokers.resend import reach
from taskforge.brokers.stamp import Sender, Stamp
from taskforge.errors import BrokerError, BrokerRefused, BrokerUnavailable
from taskforge.settlement import Settlement
from taskforge.signals import emit
from taskforge.worker.judging import App

logger = logging.getLogger("taskforge.worker")


class Persistence:
    """Used by one thread; `give_up` and `silence` are for others. Who waits between two tries is woken by `woken`.

    `name`, the sender of these calls, is what the worker process is known by.
    """

    def __init__(self, app: App, broker: Broker, woken: threading.Event) -> None:
        self.app, self.broker = app, broker
        self._sender, self._woken = Sender(), woken
        self.name = self._sender.id
        self.last_exchange = app.clock.monotonic()
        self._give_up_at = float("inf")

    def silence(self) -> float:
        """Seconds since the broker last answered."""
        return self.app.clock.monotonic() - self.last_exchange

    def give_up(self, after: float) -> None:
        """Raise rather than try again once so many seconds have passed from now."""
        self._give_up_at = self.app.clock.monotonic() + after

    def exchange(self, demand: Demand, settlements: Sequence[Settlement]) -> Exchange:
        """The answer, however long it takes: a call that may have been applied must not be replaced by another."""
        stamp = self._sender.stamp()
        reply = self._answered(demand, settlements, stamp)
        self.last_exchange = self.app.clock.monotonic()
        return reply

    def _answered(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        lost = False
        while True:
            try:
                reply = self.broker.exchange(demand, settlements, stamp)
            except (BrokerUnavailable, BrokerRefused) as error:
                if not lost:
                    logger.warning("broker_lost", extra={"error": str(error)})
                    emit(self.app.signals.broker_lost, self.app, error=error)
                lost = True
                self._pause(error)
                continue
            if lost:
                logger.warning("broker_back")
                emit(self.app.signals.broker_back, self.app)
                reply = self._still_held(reply)
            return reply

    def _still_held(self, reply: Exchange) -> Exchange:
        """The answer to a repeated call: its claims may be old, so their leases start anew before anything runs."""
        try:
            lost = self.broker.extend(reply.deliveries).lost if reply.deliveries else []
        except BrokerError:
            return reply  # the keeper's next beat tells
        return reply._replace(deliveries=[delivery for delivery in reply.deliveries if delivery not in lost])

    def _pause(self, error: BrokerError) -> None:
        """Between two tries: until the broker answers at all, at most LOOK_EVERY seconds."""
        if self.app.clock.monotonic() > self._give_up_at:
            raise error  # what is not settled by now goes on with another worker once its lease runs out
        refused = isinstance(error, BrokerRefused)
        try:
            reach(self.broker, LOOK_EVERY)
        except BrokerUnavailable:
            return
        except BrokerError:
            refused = True
        if refused:
            self._woken.clear()  # left set from before, it would have a broker that refuses be asked without a pause
            self.app.clock.wait(self._woken, LOOK_EVERY / 2)
