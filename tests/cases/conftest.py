"""Fixtures of the cases."""

from tests.cases.apps import app, apps, other
from tests.cases.places import broker_url, pytest_generate_tests, servers
from tests.cases.processes import workers

__all__ = ["app", "apps", "broker_url", "other", "pytest_generate_tests", "servers", "workers"]
