"""What a buyer, a caller and a handler see while MongoDB elects another primary: a real mongod fails on demand.

A mongod has one such fail point for all its clients, so these tests share a file, which one process runs.
"""

import json
from contextlib import contextmanager, nullcontext

import pytest
from pymongo.errors import PyMongoError

from dev.testing import failing_commands
from libs import database
from libs.clock import utc_now
from libs.errors import Kind, kind_of
from libs.events import Aggregates
from libs.events.handlers import next_delay
from libs.events.tests.bakery.catalogue import LoafBaked
from libs.events.topology import DELAYS_SECONDS
from libs.rpc.client import ServiceUnavailable, result_of
from libs.rpc.entrypoint import encoded_reply
from payments.checkout import Checkout
from payments.settlement import Settlement
from payments.store import PaymentStore
from tests.money.scenarios import deliver_all, ordered

LOAF = {"id": "b1", "version": 1, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}
ELECTION = 11602
REFUSED = {"shut down": {"errorCode": 91}, "stepped down": {"errorCode": 10107}, "lost": {"closeConnection": True}}
DOUBTFUL = {
    f"doubtful: {code}": {"writeConcernError": {"code": code, "errmsg": "not on a majority"}} for code in (ELECTION, 64)
}
"""The write is made, but is on no majority yet: it may be undone."""


AFTER_THE_CHARGE = 2
"""The number of the first write, from 0, after Stripe was asked to charge."""


def add(loaves):
    loaves.add({**LOAF, "id": "b2"}, LoafBaked, {**LOAF, "id": "b2"})


def save(loaves):
    loaves.save({**LOAF, "version": 2}, LoafBaked, {**LOAF, "version": 2})


def save_all(loaves):
    loaves.save_all([({**LOAF, "version": 2}, {**LOAF, "version": 2})], LoafBaked)


def take(loaves):
    loaves.collection.find_one_and_update({"_id": "b1"}, {"$set": {"visited_at": utc_now()}})


def find(loaves):
    loaves.find("b1")


def count(loaves):
    loaves.collection.count_documents({})


WRITES = (("insert", add), ("update", save), ("update", save_all), ("findAndModify", take))
READS = (("find", find), ("aggregate", count))
TROUBLE = [(*each, fault) for each in WRITES for fault in (*REFUSED, *DOUBTFUL)]
TROUBLE += [(*each, "stepped down") for each in READS]


@contextmanager
def hasty(monkeypatch, url):
    """Open a database for the block with short timeouts: until one is over pymongo tries again, so nothing is seen."""
    with monkeypatch.context() as patched:
        patched.setattr(database, "TIMEOUT_SECONDS", 0.7)
        db = database.connect(url)
    with db.client:
        yield db


@pytest.fixture
def loaves(mongo):
    """The loaves, read by one who sees no election."""
    loaves = Aggregates(mongo.loaves)
    loaves.add(LOAF, LoafBaked, LOAF)
    loaves.collection.update_one({}, {"$set": {"outbox": []}, "$unset": {"outbox_at": ""}})  # as once it is published
    return loaves


@pytest.fixture
def troubled(loaves, mongo_url, monkeypatch):
    with hasty(monkeypatch, mongo_url) as db:
        db.command("ping")
        yield Aggregates(db.loaves)


@pytest.mark.parametrize(("command", "act", "fault"), TROUBLE)
def test_a_caller_is_told_to_try_again_and_a_handler_does(loaves, troubled, command, act, fault):
    fails = failing_commands(loaves.collection, command, **(REFUSED | DOUBTFUL)[fault])
    with fails, pytest.raises(PyMongoError) as failure:
        act(troubled)

    assert kind_of(failure.value) is Kind.UNAVAILABLE
    with pytest.raises(ServiceUnavailable):
        result_of(json.loads(encoded_reply(None, failure.value)), "orders.create")
    assert next_delay(failure.value, 100, DELAYS_SECONDS) == DELAYS_SECONDS[-1]


def test_a_write_that_may_be_undone_is_no_refusal_though_it_was_made(loaves, troubled):
    fails = failing_commands(loaves.collection, "update", **DOUBTFUL[f"doubtful: {ELECTION}"])
    with fails, pytest.raises(PyMongoError) as failure:
        save(troubled)

    assert loaves.find("b1")["version"] == 2
    assert kind_of(failure.value) is Kind.UNAVAILABLE


@pytest.mark.parametrize("fault", ["stepped down", f"doubtful: {ELECTION}"])
@pytest.mark.parametrize("write", range(3))
def test_whoever_pays_during_an_election_is_told_to_wait_and_pays_once(world, servers, monkeypatch, write, fault):
    order_id, payments = ordered(world), world.store.payments.collection
    with hasty(monkeypatch, servers.mongo_url(payments.database.name)) as db:
        store = PaymentStore(db)
        store.payments.find("nothing")
        checkout = Checkout(Settlement(store, world.settlement.cards, world.now), "pk_test_1")
        fails = failing_commands(payments, "update", skip=write, **(REFUSED | DOUBTFUL)[fault])
        with fails, nullcontext() if write == AFTER_THE_CHARGE else pytest.raises(PyMongoError) as failure:
            assert checkout.pay(order_id, "bo", "tok_visa")["is_confirming"]

    assert failure is None or kind_of(failure.value) is Kind.UNAVAILABLE
    world.rest_alone()
    world.pay(order_id)
    deliver_all(world)
    world.rest_alone()
    assert world.order(order_id).status == "complete"
    assert list(world.faults()) == []
