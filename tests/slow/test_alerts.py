"""Each alert fires within two minutes of its fault, in a running system that Debian's Prometheus asks every 15 s."""

import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
from kombu import Connection

from dev.testing import failing_commands, queue_length, wait_for
from libs.amqp import Outgoing, Publisher
from libs.clock import utc_now
from tests.slow.prometheus import rabbitmqctl, watched

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WITHIN_SECONDS = 120
FORGOTTEN_SECONDS = 660
"""How long an alert may remember the fault before: CopiesRepaired does so for ten minutes."""
MANY = 1200


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with watched(tmp_path_factory.mktemp("prometheus")) as site:
        wait_for(lambda: [each["value"][1] for each in site.query("count(up == 1)")] == ["13"], 120)
        yield site


def reserve(buyer, seller):
    return buyer.reserve(seller.list_ticket())


def reserve_and_cancel(buyer, seller):
    """Leave nothing whose time to pay ends during a later test."""
    buyer.delete(f"/api/orders/{reserve(buyer, seller)}")


def buy(buyer, seller):
    return buyer.pay(reserve(buyer, seller))


def both_speeds(objective):
    return (f"{objective}BurnFast", f"{objective}BurnSlow")


@contextmanager
def listener_is_slow(site):
    """expiration's database takes four seconds to insert deadlines."""
    block = {"blockConnection": True, "blockTimeMS": 4000}
    with site.busy(reserve_and_cancel, people=2), failing_commands(site.mongo.expiration.deadlines, "insert", **block):
        yield


@contextmanager
def database_is_slow(site):
    """Each insertion of an order takes two seconds, and three times as many people reserve as orders has workers."""
    block = {"blockConnection": True, "blockTimeMS": 2000}
    with site.busy(reserve_and_cancel, people=60), failing_commands(site.mongo.orders.orders, "insert", **block):
        yield


@contextmanager
def orders_stalls(site):
    """orders stands still for eight seconds of ten."""
    with site.busy(reserve_and_cancel, people=10), site.stuttering("orders", 8, 2):
        yield


@contextmanager
def listener_is_down(site):
    """tickets is stopped, and as many events wait for it as in a busy hour."""
    bo = site.person("bo")
    order_id = reserve(bo, site.person("ana"))
    with site.stopped("tickets"):
        assert bo.delete(f"/api/orders/{order_id}").status_code == 204
        wait_for(lambda: queue_length(site.system.amqp_url, "tickets.OrderCancelled"), 30)
        repeat("tickets.OrderCancelled", site.system.amqp_url)
        yield


def repeat(queue, amqp_url):
    """Let an event that waits in a queue wait there many times more."""
    with Connection(amqp_url) as connection, connection.channel() as channel:
        found = channel.basic_get(queue, no_ack=True)
    body = found.body if isinstance(found.body, bytes) else found.body.encode()
    again = Outgoing("", queue, body, dict(found.headers), found.properties["message_id"])
    publisher = Publisher(amqp_url)
    assert publisher.publish([again] * MANY) == {}
    publisher.close()


@contextmanager
def event_is_poison(site):
    """Somebody sent what is no event."""
    publisher = Publisher(site.system.amqp_url)
    assert publisher.publish([Outgoing("", "orders.TicketUpdated", b"{", {}, "poison")]) == {}
    publisher.close()
    yield
    with Connection(site.system.amqp_url) as connection:
        connection.channel().queue_purge("orders.TicketUpdated.parked")


@contextmanager
def redis_is_down(site):
    with site.stopped("redis"):
        yield


@contextmanager
def mongo_is_down(site):
    with site.stopped("mongo"):
        yield


@contextmanager
def broker_is_full(site):
    """RabbitMQ may use no memory, and the time to pay of an order ends."""
    late, held = reserve(site.person("bo"), site.person("ana")), site.person("ana").list_ticket()
    with site.busy(lambda buyer, _: buyer.post("/api/orders", {"ticketId": held}), people=3):
        rabbitmqctl(site.system, "set_vm_memory_high_watermark", "absolute", "1")
        overdue(site, late, timedelta(minutes=11))
        try:
            yield
        finally:
            rabbitmqctl(site.system, "set_vm_memory_high_watermark", "0.4")


@contextmanager
def stripe_is_down(site):
    with site.busy(buy, people=3), site.stopped("fake-stripe"):
        yield


@contextmanager
def processor_is_taken(site):
    """The scheduler gets a hundredth of a processor."""
    with site.stuttering("scheduler", 0.6, 0.004):
        yield


@contextmanager
def orders_was_down(site):
    """orders was stopped, while times to pay ended and somebody purged a queue."""
    ana = site.person("ana")
    late = [site.person("bo").reserve(ana.list_ticket()) for _ in range(20)]
    with site.stopped("orders"):
        for order_id in late:
            overdue(site, order_id, timedelta(minutes=1))
        ana.list_ticket()
        wait_for(lambda: queue_length(site.system.amqp_url, "orders.TicketCreated"), 30)
        with Connection(site.system.amqp_url) as connection:
            connection.channel().queue_purge("orders.TicketCreated")
    yield


def overdue(site, order_id, by):
    changed = site.mongo.orders.orders.update_one({"_id": order_id}, {"$set": {"expires_at": utc_now() - by}})
    assert changed.matched_count == 1


@contextmanager
def copy_cannot_be_repaired(site):
    """A copy is lost, and MongoDB refuses to store it again."""
    copies, ticket_id = site.mongo.orders.tickets, site.person("ana").list_ticket()
    wait_for(lambda: copies.find_one({"_id": ticket_id}))
    with failing_commands(copies, "update", errorCode=96):
        copies.delete_one({"_id": ticket_id})
        yield


PLANTED = {  # in this order, so that few wait until an alert of the fault before has ended
    listener_is_slow: ("EventsLate", *both_speeds("EventHandling")),
    event_is_poison: ("EventParked",),
    copy_cannot_be_repaired: ("CopiesStale",),
    processor_is_taken: ("EventLoopBlocked",),
    redis_is_down: ("NoRedisPrimary",),
    orders_was_down: ("ExpiryLate", "CopiesRepaired", *both_speeds("Deadlines")),
    database_is_slow: ("WorkersExhausted", *both_speeds("ReservationLatency")),
    stripe_is_down: ("StripeErrors", "AlarmRaised", *both_speeds("PaymentLatency")),
    listener_is_down: ("ProgramDown", "QueueWithoutConsumer", "QueueGrows", "CopiesNotCompared"),
    broker_is_full: ("BrokerAlarm", "OutboxStuck", "ServerErrors", *both_speeds("Reservations")),
    orders_stalls: ("CallsExpire",),
    mongo_is_down: ("NoMongoPrimary",),
}


@pytest.mark.parametrize(
    ("fault", "alerts"), PLANTED.items(), ids=[f"{fault.__name__}: {', '.join(PLANTED[fault])}" for fault in PLANTED]
)
def test_alerts_fire_within_two_minutes_of_a_fault(site, fault, alerts):
    forgetful = {name for name in alerts if not name.endswith("Slow")}  # the others remember for half an hour
    wait_for(lambda: not site.firing() & forgetful, FORGOTTEN_SECONDS, "earlier faults to be forgotten")
    with ExitStack() as planted:
        planted.enter_context(fault(site))
        began, missing = time.monotonic(), {*alerts}
        while missing and time.monotonic() - began < WITHIN_SECONDS:
            for name in missing & site.firing():
                print(f"{name} fires {time.monotonic() - began:.0f} s after {fault.__name__}")
                missing.discard(name)
            time.sleep(1)  # Prometheus looks every fifteen

        assert not missing, site.query(f'ALERTS{{alertname=~"{"|".join(missing)}"}}')
