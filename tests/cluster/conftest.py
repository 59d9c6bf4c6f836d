import pytest

pytest.register_assert_rewrite("tests.e2e.invariants", "tests.cluster.buyers")

from dev.stack.cluster import NODES, Cluster  # noqa: E402 - after pytest is asked to rewrite its asserts
from dev.testing import stack_folder  # noqa: E402
from tests.cluster.network import Network  # noqa: E402
from tests.e2e.people import Sessions  # noqa: E402

SETTINGS = dict.fromkeys(("UNPAID_RESERVATIONS_PER_BUYER", "UNPAID_RESERVATIONS_PER_HOUR"), "1000")


@pytest.fixture(scope="session")
def network():
    network = Network(NODES)
    yield network
    network.close()


@pytest.fixture(scope="session")
def cluster(network):
    with stack_folder() as folder, Cluster(folder, nodes=network.nodes, environ=SETTINGS, report=print) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def sessions(cluster):
    return Sessions(cluster)
