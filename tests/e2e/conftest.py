import pytest

pytest.register_assert_rewrite("tests.e2e.invariants")

from tests.e2e import invariants  # noqa: E402 - after pytest is asked to rewrite its asserts
from tests.e2e.browsing import browser, signed_in, visitor  # noqa: E402, F401 - fixtures
from tests.e2e.people import Operator, Person  # noqa: E402


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
