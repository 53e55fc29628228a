"""Simulated workers, clients and a faulty connection to a real broker, on one thread and under one clock.

Who goes on, what gets lost, who crashes and how time passes is drawn from a seed; every answer of the broker, and every
run, is checked against what was promised. Needs the library greenlet.
"""

from taskforge.testing.simulation.opening import OpenBroker
from taskforge.testing.simulation.searching import Failure, replay, search, simulate
from taskforge.testing.simulation.shrinking import shrink

__all__ = ["Failure", "OpenBroker", "replay", "search", "shrink", "simulate"]
