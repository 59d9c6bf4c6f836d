"""The gateway's memory, tickets and a broker, while things go wrong: what it serves is never older than a second."""

import os
import signal
import time
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from kombu import Connection
from prometheus_client import REGISTRY

from dev.testing import nameko_service, new_database, new_vhost, wait_for
from gateway.app import create_app
from gateway.cache import public
from gateway.cache.memory import YOUNG_SECONDS
from gateway.tests.fakes import SETTINGS, never_revoked
from libs import database
from libs.clock import utc_now
from libs.contracts.events import CATALOGUE, TicketCreated, TicketUpdated
from libs.rpc import Client
from libs.schema import migrate
from ops.migrate import SCHEMAS
from tests.in_process import KEYS, PUBLIC_KEYS, closed_databases
from tickets.domain import Ticket
from tickets.store import TicketStore, new_id

LIMIT_SECONDS = 1.0


class Site:
    """tickets as a process, and a process of the gateway; `store` is that of another instance of tickets."""

    def __init__(self, amqp_url, mongo_url, tickets, client):
        self.tickets = tickets
        self.amqp_url = amqp_url
        self.store = TicketStore(database.connect(mongo_url))
        app = create_app(client, SETTINGS, never_revoked())
        self.memory = app.extensions["public_reads"].memory
        self.follower = public.follow(app, amqp_url, app.extensions["services"], self.memory)
        self.guest = app.test_client()

    def price(self, ticket_id):
        return self.guest.get(f"/api/tickets/{ticket_id}").json["price"]

    def listed_price(self, ticket_id):
        return next((each["price"] for each in self.guest.get("/api/tickets").json if each["id"] == ticket_id), None)

    def list_ticket(self):
        """Put a ticket on sale; return its id."""
        ticket = Ticket.create(new_id(), "ana", "usd", utc_now(), title="Hamlet", price_cents=1000)
        self.store.add(ticket, TicketCreated)
        return ticket.id

    def change(self, ticket_id):
        """Raise the price of a ticket to 20; return when that was committed."""
        ticket = self.store.get(ticket_id)
        ticket.edit("ana", utc_now(), title="Hamlet", price_cents=2000)
        self.store.save(ticket, TicketUpdated)
        return time.monotonic()

    def keeps(self, ticket_id):
        """Return whether ticket and list are answered from memory, after a watermark."""
        before = hits()
        self.price(ticket_id)
        self.listed_price(ticket_id)
        entry = self.memory.find(ticket_id)
        return hits() == before + 2 and entry is not None and time.monotonic() - entry.began > 2 * YOUNG_SECONDS

    @contextmanager
    def paused(self):
        os.kill(self.tickets.pid, signal.SIGSTOP)
        yield
        os.kill(self.tickets.pid, signal.SIGCONT)


def hits():
    return REGISTRY.get_sample_value("public_reads_total", {"outcome": "hit"}) or 0


@pytest.fixture(scope="module")
def site(servers):
    settings = {"TOKEN_PUBLIC_KEYS": PUBLIC_KEYS, "SIGNING_KEY": KEYS["tickets"][0], "CURRENCY": "usd"}
    with new_vhost(servers) as amqp_url, new_database(servers) as mongo_url, closed_databases():
        migrate(database.connect(mongo_url), SCHEMAS["tickets"])
        declare(amqp_url)
        service = {"AMQP_URI": amqp_url, "MONGO_URL": mongo_url, **settings}
        with (
            nameko_service("tickets.service:TicketsService", "rpc-tickets", **service) as tickets,
            closing(Client(amqp_url, "gateway")) as client,
        ):
            site = Site(amqp_url, mongo_url, tickets, client)
            yield site
            site.follower.stop()


def declare(amqp_url):
    with Connection(amqp_url) as connection:
        CATALOGUE.declare(connection.channel())


@pytest.fixture
def ticket_id(site):
    """A ticket that is kept, as its list is."""
    ident = site.list_ticket()
    wait_for(lambda: site.listed_price(ident) == 10 and site.keeps(ident), 20)
    return ident


def assert_never_old(site, ticket_id, changed_at):
    """Assert that from a second after the change on nobody is told the old price."""
    while (sent_at := time.monotonic()) < changed_at + LIMIT_SECONDS + 0.3:
        prices = {site.price(ticket_id), site.listed_price(ticket_id)}
        assert prices == {20} or sent_at < changed_at + LIMIT_SECONDS


def test_a_change_is_heard_of_at_once_and_the_new_price_is_kept(site, ticket_id):
    changed_at = site.change(ticket_id)

    assert_never_old(site, ticket_id, changed_at)
    assert wait_for(lambda: site.keeps(ticket_id)) and site.price(ticket_id) == 20


def test_a_change_whose_relay_was_killed_is_seen_within_a_second_and_the_rest_is_kept(site, ticket_id):
    other = site.list_ticket()
    wait_for(lambda: site.keeps(other))
    dead = {"lease": "of a killed process", "until": utc_now() + timedelta(minutes=1), "attempts": 0}
    site.store.tickets.collection.update_one({"_id": ticket_id}, {"$set": {"relay": dead}})

    changed_at = site.change(ticket_id)

    while time.monotonic() < changed_at + LIMIT_SECONDS:
        site.price(other)
    before = hits()
    assert [site.price(other) for _ in range(5)] == [10] * 5 and hits() == before + 5
    assert site.price(ticket_id) == 20
    assert_never_old(site, ticket_id, changed_at)
    site.store.tickets.collection.update_one({"_id": ticket_id}, {"$unset": {"relay": 1}})


def test_a_deleted_binding_is_noticed_and_mended(site, ticket_id):
    with Connection(site.amqp_url) as connection:
        connection.channel().exchange_delete("tickets.events")
    declare(site.amqp_url)  # which binds the queues of all services, and not ours

    changed_at = site.change(ticket_id)

    assert_never_old(site, ticket_id, changed_at)
    wait_for(lambda: site.keeps(ticket_id), 20)


def test_nothing_is_answered_from_memory_while_tickets_is_paused(site, ticket_id):
    with site.paused():
        changed_at = site.change(ticket_id)
        wait_for(lambda: site.memory.find(ticket_id) is None)

        assert time.monotonic() < changed_at + LIMIT_SECONDS
    assert wait_for(lambda: site.keeps(ticket_id), 20) and site.price(ticket_id) == 20
