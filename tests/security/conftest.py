"""Users, a visitor and an operator of the running system."""

import pytest

from tests.e2e.people import Operator, Person


@pytest.fixture(scope="module")
def person(system):
    """Return a function that signs up a new user."""

    def sign_up(name):
        return Person(system.gateway_url, name).sign_up()

    return sign_up


@pytest.fixture(scope="module")
def nobody(system):
    """A visitor without a session."""
    return Person(system.gateway_url, "nobody")


@pytest.fixture(scope="module")
def operator(system):
    """An operator, with the operator's key."""
    operator = Operator(system)
    yield operator
    operator.client.close()
