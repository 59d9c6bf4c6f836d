import pytest

from tests.e2e import invariants
from tests.e2e.people import Operator, Person


@pytest.fixture
def person(system):
    def sign_up(name):
        return Person(system.gateway_url, name).sign_up()

    return sign_up


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
