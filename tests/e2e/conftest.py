import pytest

pytest.register_assert_rewrite("tests.e2e.invariants")

from tests.e2e import invariants  # noqa: E402 - after pytest is asked to rewrite its asserts
from tests.e2e.browsing import signed_in, visitor  # noqa: E402, F401 - fixtures
from tests.e2e.people import Operator, Person, Sessions  # noqa: E402


@pytest.fixture(scope="session")
def sessions(system):
    return Sessions(system)


@pytest.fixture
def person(system, sessions):
    """Return a function that makes a person with a session."""

    def begin_session(name):
        return sessions.begin(Person(system.gateway_url, name))

    return begin_session


@pytest.fixture
def ana(person):
    return person("ana")


@pytest.fixture
def bo(person):
    return person("bo")


@pytest.fixture(scope="session")
def operator(system):
    operator = Operator(system)
    yield operator
    operator.client.close()


@pytest.fixture
def at_rest(system):
    """Check every invariant when the test is over."""
    yield
    invariants.check(system)


@pytest.fixture(scope="module")
def at_rest_in_the_end(system):
    """Check every invariant when all tests of the file are over: a violation of money or winners stays visible."""
    yield
    invariants.check(system)
