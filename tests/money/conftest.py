import secrets

import pytest

from dev.fake_stripe import testing
from dev.testing import new_vhost
from libs.database import connect

pytest.register_assert_rewrite("tests.money.world")

from tests.money.shop import Shop, drop, nobody_signs_out  # noqa: E402 - after the rewriting of World's asserts
from tests.money.world import World, migrate_both  # noqa: E402


@pytest.fixture(scope="session")
def stripe_running():
    with testing.receiving() as receiver, testing.running(webhook_url=receiver.url) as fake:
        yield fake, receiver


@pytest.fixture
def fake(stripe_running):
    fake, receiver = stripe_running
    fake.control("reset")
    yield fake
    receiver.answers = lambda event: 200


@pytest.fixture(scope="session")
def world_databases(servers):
    """The databases of payments and orders; their indexes are made once."""
    name = f"test_{secrets.token_hex(6)}"
    with connect(servers.mongo_url(name)).client as client:
        databases = client[name], client[f"{name}_orders"]
        migrate_both(*databases)
        yield databases
    drop(servers.mongo_url(name), servers.mongo_url(f"{name}_orders"))


@pytest.fixture
def world(world_databases, fake):
    """A world that receives no webhooks."""
    payments, orders = world_databases
    yield World(payments, orders, fake)
    for database in world_databases:
        for name in database.list_collection_names():
            database[name].delete_many({})


@pytest.fixture
def webhooks(world, stripe_running):
    """The world receives webhooks."""
    stripe_running[1].answers = world.receive


@pytest.fixture(scope="module")
def shop(servers, stripe_running):
    """Orders as a process of its own; each test starts payments."""
    fake, _ = stripe_running
    fake.control("reset")
    with new_vhost(servers) as amqp_url:
        shop = Shop(servers, amqp_url, fake)
        with nobody_signs_out(amqp_url), shop.service("orders"):
            yield shop
        shop.drop()
