"""The fate of an event in trouble: with this library, and with stock nameko's handler and dispatcher.

`play` runs all the troubles once, with both services side by side on the same events; each test then reads one row.
"""

import json
import signal
import subprocess
import sys
from contextlib import closing, contextmanager

import pymongo
import pytest
from kombu import Connection, Exchange

from dev.testing import ROOT, nameko_service, new_vhost, queue_length, wait_for
from libs.amqp import BrokerUnavailable, Outgoing, Publisher
from libs.events import Aggregates, Relay
from libs.events.parking import Parking, Selection
from libs.events.tests.bakery.catalogue import CATALOGUE, LoafBaked

ALL_QUEUES = CATALOGUE.queue_names()
QUEUES = {
    "ours": "labels.LoafBaked",
    "stock": "evt-oven-LoafBaked--stock.on_loaf_baked",
}
STOCK_DISPATCH = """
from nameko.standalone.events import event_dispatcher
event_dispatcher({"AMQP_URI": %r}, retry_policy={"max_retries": 0})("oven", "X", {})
"""
BODY = {"id": "b1", "version": 1, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}
OURS_DIES = f"""
import os, sys
from libs.database import connect
from libs.events import Aggregates
from libs.events.tests.bakery.catalogue import LoafBaked
Aggregates(connect(sys.argv[1]).loaves).add({BODY}, LoafBaked, {BODY})
os.kill(os.getpid(), 9)
"""
STOCK_DIES = f"""
import os, sys
from nameko.standalone.events import event_dispatcher
from libs.database import connect
connect(sys.argv[1]).stock.insert_one({BODY})
os.kill(os.getpid(), 9)
event_dispatcher({{"AMQP_URI": sys.argv[2]}})("oven", "LoafBaked", {BODY})
"""
STOCK_CONTAINER = {"SERVICE_CONTAINER_CLS": "nameko.containers.ServiceContainer"}


@pytest.mark.parametrize(
    ("event", "trouble", "ours", "stock"),
    [
        ("is-good", "none", "handled once", "handled once"),
        ("is-early", "it was published before its listener ever ran", "handled once", "lost"),
        ("fails-once", "its handler fails once", "handled once", "lost"),
        ("fails-always", "its handler fails at every try", "parked", "lost"),
        ("is-broken", "it cannot be decoded", "parked", "lost"),
        ("is-slow", "SIGTERM comes while it is handled", "handled once", "handled again"),
        ("dies-once", "its process is killed while it is handled", "handled once", "handled once"),
    ],
)
def test_an_event_in_trouble_is_handled_or_parked(outcomes, event, trouble, ours, stock):
    assert outcomes("ours", event) == ours
    assert outcomes("stock", event) == stock


@pytest.fixture(scope="module")
def outcomes(broker_url, servers):
    url = servers.mongo_url("test_never_loses")
    with pymongo.MongoClient(url) as client:
        client.drop_database("test_never_loses")
        notes = client.test_never_loses.notes
        play(broker_url, url, notes)
        parked = {parked.event_id for parked in Parking(broker_url, ALL_QUEUES).show(Selection(QUEUES["ours"]))}

        def outcome(service, event):
            times = notes.count_documents({"service": service, "event": event, "what": "finished"})
            if times == 0:
                return "parked" if service == "ours" and event in parked else "lost"
            return "handled once" if times == 1 else "handled again"

        yield outcome
        client.drop_database("test_never_loses")


def play(amqp_url, mongo_url, notes):
    with closing(Publisher(amqp_url, declare=CATALOGUE.declare)) as publisher:
        act(publisher, amqp_url, mongo_url, notes)
    # what ours had not acknowledged is in its queue again now
    wait_for(lambda: queue_length(amqp_url, QUEUES["ours"]) == 0)


def act(publisher, amqp_url, mongo_url, notes):
    send(publisher, "is-early")
    with both(amqp_url, mongo_url) as services:
        for event in ("is-good", "is-broken", "fails-once", "fails-always"):
            send(publisher, event)
        wait_for(lambda: Parking(amqp_url, ALL_QUEUES).count() == {QUEUES["ours"]: 2})
        send(publisher, "is-slow")
        wait_for(lambda: begun(notes, "is-slow") == 2)
        terminate(services)
        wait_for(lambda: queue_length(amqp_url, QUEUES["stock"]) == 1, 15, "stock to close its connection meanwhile")
        notes.insert_one({"what": "released"})
        await_end(services)
    with both(amqp_url, mongo_url) as services:
        send(publisher, "dies-once")
        await_end(services)
    with both(amqp_url, mongo_url) as services:
        wait_for(lambda: notes.count_documents({"event": "dies-once", "what": "finished"}) == 2)
        wait_for(lambda: [queue_length(amqp_url, queue) for queue in QUEUES.values()] == [0, 0])
        # a third time by stock if its process died just before it had acknowledged the second one
        wait_for(lambda: notes.count_documents({"event": "is-slow", "what": "finished"}) >= 3)
        terminate(services)
        await_end(services)  # so that all that was handled is acknowledged


def terminate(services):
    for service in services:
        service.send_signal(signal.SIGTERM)


def await_end(services):
    for service in services:
        service.wait(15)


@contextmanager
def both(amqp_url, mongo_url):
    module, settings = "libs.events.tests.crash_probe", {"AMQP_URI": amqp_url, "MONGO_URL": mongo_url}
    with (
        nameko_service(f"{module}:Ours", QUEUES["ours"], **settings) as ours,
        nameko_service(f"{module}:Stock", QUEUES["stock"], **settings, **STOCK_CONTAINER) as stock,
    ):
        yield ours, stock


def send(publisher, event):
    body = BODY | {"id": event}
    raw = b"{broken" if event == "is-broken" else json.dumps(body).encode()
    assert publisher.publish([Outgoing("oven.events", "LoafBaked", raw, {}, event)]) == {}


def begun(notes, event):
    return notes.count_documents({"event": event, "what": "begun"})


def test_what_no_queue_is_bound_for_waits_here_and_is_silently_lost_by_stock(servers, mongo):
    loaves = Aggregates(mongo.loaves)
    loaves.add(BODY, LoafBaked, BODY)
    with new_vhost(servers) as url, closing(Publisher(url)) as publisher, Connection(url) as connection:
        Exchange(LoafBaked.exchange, type="topic", durable=True)(connection.channel()).declare()

        assert Relay(publisher, [loaves]).flush() == 0
        assert run(STOCK_DISPATCH % url).returncode == 0

    assert len(loaves.collection.find_one()["outbox"]) == 1


def test_what_was_saved_while_the_broker_was_unreachable_waits_here_and_is_lost_by_stock(mongo):
    unreachable, loaves = "amqp://guest:guest@127.0.0.1:1/", Aggregates(mongo.loaves)
    loaves.add(BODY, LoafBaked, BODY)

    with pytest.raises(BrokerUnavailable):
        Relay(Publisher(unreachable), [loaves]).flush()

    assert len(loaves.collection.find_one()["outbox"]) == 1
    assert "OperationalError" in run(STOCK_DISPATCH % unreachable).stderr  # a change that will never be published


def test_a_process_killed_between_its_change_and_the_event_loses_none_here_and_one_of_stock(amqp_url, mongo_url, mongo):
    for dies in (OURS_DIES, STOCK_DIES):
        assert run(dies, mongo_url, amqp_url).returncode == -signal.SIGKILL

    with closing(Publisher(amqp_url, CATALOGUE.declare)) as publisher:
        Relay(publisher, [Aggregates(mongo.loaves)]).flush()

    assert mongo.stock.count_documents({}) == mongo.loaves.count_documents({}) == 1  # both changes were saved
    assert queue_length(amqp_url, QUEUES["ours"]) == 1  # but only ours was published


def run(program, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=ROOT)
