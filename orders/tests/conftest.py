import pytest

from libs.schema import migrate
from orders.service import OrdersService
from orders.store import OrderStore


@pytest.fixture
def mongo(emptied):
    return emptied


@pytest.fixture
def payments():
    """What the service calls in place of payments; a file whose tests make it call has a fake of its own."""
    return


@pytest.fixture
def service(mongo, payments):
    """The service, with its real database, called as its timers and handlers are."""
    service = OrdersService()
    service.store, service.services = OrderStore(mongo), payments
    migrate(mongo, OrderStore.schema)
    return service
