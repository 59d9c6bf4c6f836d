"""Anti-entropy: data lost with a purged queue or a deleted copy are fetched from their source."""

from contextlib import contextmanager

import pymongo
import pytest
import requests
from kombu import Connection

from dev.testing import queue_length, wait_for
from libs.clock import utc_now
from libs.contracts.events import (
    CATALOGUE,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    PaymentAuthorized,
    PaymentFailed,
    PaymentRefunded,
    TicketUpdated,
)
from libs.events import topology
from libs.rpc import RemoteError, ServiceUnavailable
from libs.rpc.topology import RPC_EXCHANGE

pytestmark = pytest.mark.usefixtures("at_rest")


@pytest.fixture
def mongo(system):
    with pymongo.MongoClient(system.mongo_url("admin")) as client:
        yield client


@pytest.mark.parametrize("part", CATALOGUE.listeners())
def test_lost_and_old_copies_are_repaired_by_one_call(mongo, operator, ana, bo, part):
    sold, listed = ana.list_ticket(), ana.list_ticket()
    order_id = bo.reserve(sold)
    begin_to_pay(bo, order_id)
    is_repaired = {
        "orders": lambda: mongo.orders.tickets.find_one({"_id": listed}),
        "tickets": lambda: mongo.tickets.tickets.find_one({"_id": sold, "reservation.order_id": order_id}),
        "payments": lambda: mongo.payments.payments.find_one({"_id": order_id, "order.version": 1}),
        "expiration": lambda: mongo.expiration.deadlines.find_one({"_id": order_id}),
    }
    damage = {
        "orders": lambda: mongo.orders.tickets.delete_one({"_id": listed}),
        "tickets": lambda: mongo.tickets.tickets.update_one({"_id": sold}, {"$set": {"reservation": None}}),
        "payments": lambda: mongo.payments.payments.update_one({"_id": order_id}, {"$set": {"order.version": 0}}),
        "expiration": lambda: mongo.expiration.deadlines.delete_one({"_id": order_id}),
    }
    wait_for(is_repaired[part])
    wait_for(lambda: mongo.tickets.tickets.find_one({"_id": sold, "shelf": "reserved"}))  # no event is under way now
    damage[part]()

    operator.call(part, "repair")

    assert is_repaired[part]()
    assert operator.call(part, "repair")["repaired"] == 0


def begin_to_pay(person, order_id):
    """Open the card form of an order, for which payments copies it: until then it has to ask orders."""
    assert person.post(f"/api/orders/{order_id}/payment-intent").status_code == 200


def test_events_of_orders_that_are_purged_are_made_up_for_in_time(system, ana, bo):
    paid, kept, cancelled = (ana.list_ticket() for _ in range(3))
    with stopped(system, "tickets", "expiration"):
        assert bo.pay(bo.reserve(paid)).status_code == 201
        with stopped(system, "payments"):
            bo.reserve(kept)
            bo.delete(f"/api/orders/{bo.reserve(cancelled)}")

            for event in (OrderCreated, OrderCancelled):
                for listener in event.listeners:
                    assert purge(system, listener, event) > 0
        for listener in ("tickets", "expiration"):
            assert purge(system, listener, OrderCompleted) > 0
    # `at_rest` waits until the listeners know of it all the same


def test_buyer_who_paid_in_time_keeps_the_ticket_though_the_event_of_it_was_lost(system, ana, bo, operator):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)
    begin_to_pay(bo, order_id)
    operator.let_expire(order_id, 8)
    with stopped(system, "orders"):
        bo.pay(order_id)

        purge(system, "orders", PaymentAuthorized)
        wait_for(lambda: deadline_passed(system, order_id), 30)

    bo.wait_for_order(order_id, "complete", 60)
    bo.wait_for_ticket(ticket_id, "sold")


def test_refunds_and_final_declines_whose_events_were_lost_are_seen_in_time(system, ana, bo, operator):
    refunded, declined = (bo.reserve(ana.list_ticket()) for _ in range(2))
    listed = ana.list_ticket()
    bo.pay(refunded)
    bo.wait_for_order(refunded, "complete")
    begin_to_pay(bo, declined)
    with stopped(system, "orders"):
        operator.call("payments", "refund", order_id=refunded, reason="called off")
        for _ in range(3):
            bo.pay(declined, "tok_chargeDeclined")
        ana.delete(f"/api/tickets/{listed}")

        for event in (PaymentRefunded, PaymentFailed, TicketUpdated):
            purge(system, "orders", event)

    bo.wait_for_order(declined, "cancelled", 60)
    wait_for(lambda: bo.order(refunded)["refundedAt"], 60)
    # `at_rest` waits until orders knows that the ticket was withdrawn


def test_site_answers_again_after_somebody_deleted_the_exchange_of_all_calls(system, ana, bo, operator):
    with Connection(system.amqp_url) as connection:
        connection.channel().exchange_delete(RPC_EXCHANGE.name)

    wait_for(lambda: is_answered(operator), 60)
    wait_for(lambda: unbound(system) == set(), 60)

    assert requests.get(f"{system.gateway_url}/readyz", timeout=10).ok
    bo.pay(bo.reserve(ana.list_ticket()))


def unbound(system):
    """Return the queues of calls and of replies that the exchange of all calls does not lead to."""
    queues = {queue["name"] for queue in system.management("GET", "/api/queues/%2F").json()}
    bindings = system.management("GET", "/api/bindings/%2F").json()
    bound = {binding["destination"] for binding in bindings if binding["source"] == RPC_EXCHANGE.name}
    return {name for name in queues if name.startswith("rpc")} - bound


def is_answered(operator):
    try:
        operator.client.call("auth", "no_method", timeout=1)
    except ServiceUnavailable:
        return False
    except RemoteError:
        return True


@contextmanager
def stopped(system, *programs):
    """Let programs be stopped while the block runs."""
    system.stop_program(*programs)
    yield
    for program in programs:
        system.start_program(program)
    for program in programs:
        system.wait_ready(program)


def deadline_passed(system, order_id):
    with pymongo.MongoClient(system.mongo_url("orders"), tz_aware=True) as mongo:
        return mongo.orders.orders.find_one({"_id": order_id})["expires_at"] < utc_now()


def purge(system, listener, event):
    """Throw away what waits for a listener, once there is something; return how many messages that were."""
    queue = topology.queue_name(listener, event)
    wait_for(lambda: queue_length(system.amqp_url, queue), what=f"something in {queue}")
    with Connection(system.amqp_url) as connection:
        return connection.channel().queue_purge(queue)
