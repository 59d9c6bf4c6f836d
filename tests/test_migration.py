"""Data of version 0.1 under this version: migrated by one command, and served."""

import subprocess
import sys
from datetime import timedelta

import pytest
from nameko.testing.utils import get_extension

from auth import passwords
from dev.stack.supervisor import ROOT
from dev.testing import new_database
from libs.amqp.container import Container
from libs.clock import iso, utc_now
from libs.contracts.events import OrderedTicket
from libs.contracts.parts import SERVICES
from libs.database import connect
from libs.events import Aggregates, StoreProvider
from libs.events.aggregates import OUTBOX_INDEX
from libs.schema import MissingIndexes, migrate
from ops.migrate import SCHEMAS
from tests.in_process import NOWHERE, closed_databases, services_in_process
from tests.in_process import SERVICES as SERVICE_CLASSES

STORES = {
    service.name: provider.store_class
    for service in SERVICE_CLASSES
    for provider in vars(service).values()
    if isinstance(provider, StoreProvider)
}
CLASSES = {each.name: each for each in SERVICE_CLASSES}
ANA, BO, TICKET, ORDER = ("6a60000000000000000000" + number for number in ("01", "02", "03", "04"))
PASSWORD = "correct horse battery"
PLAIN = "37dad677cf0b3997d0f5dd0d7889f84b"
NOW = utc_now().replace(microsecond=0)
BEFORE = NOW - timedelta(minutes=5)
UNTIL = NOW + timedelta(minutes=10)
TIMES = {"created_at": BEFORE, "updated_at": BEFORE}
FROZEN = {
    "id": TICKET, "title": "Hamlet", "price_cents": 1999, "currency": "usd", "category": "stage", "venue": None,
    "starts_at": None,
}  # fmt: skip
ORDERED = {
    "version": 1, "status": "created", "cancel_reason": None, "buyer_id": BO, "seller_id": ANA, "reservation_no": 1,
    "expires_at": UNTIL, "refunded_at": None, "refunded_cents": 0, "ticket": FROZEN, **TIMES,
}  # fmt: skip
EVENT = {
    "id": f"OrderCreated:{ORDER}:1", "name": "OrderCreated", "version": 1, "at": BEFORE, "correlation_id": "",
    "body": {
        **{name: iso(value) if name.endswith("_at") and value else value for name, value in ORDERED.items()},
        "id": ORDER, "price_cents": 1999, "currency": "usd",
    },
}  # fmt: skip
DOCUMENTS = {
    "auth": {
        "users": {
            "_id": ANA, "email": "ana@example.org", "version": 1, "generation": 0, "addresses": [PLAIN],
            "password_hash": passwords.hash_password(PASSWORD), "created_at": BEFORE,
        },
        "revoked_sessions": {"_id": "session 1", "version": 1, "user_id": ANA, "expires_at": UNTIL},
        "attempts": {"_id": f"address:{PLAIN}", "tries": 60, "until": UNTIL, "forget_at": UNTIL},
    },
    "tickets": {
        "tickets": {
            "_id": TICKET, "version": 2, "seller_id": ANA, "title": "Hamlet", "price_cents": 1999, "price_version": 1,
            "currency": "usd", "category": "stage", "venue": None, "starts_at": None, "withdrawn": False, **TIMES,
            "reservation": {
                "order_id": ORDER, "no": 1, "version": 1, "status": "created", "expires_at": UNTIL,
                "price_cents": 1999, "refunded_cents": 0,
            },
            "shelf": "reserved", "words": ["hamlet"], "prefixes": ["h", "ha", "ham", "haml", "hamle", "hamlet"],
        },
    },
    "orders": {
        "orders": {
            "_id": ORDER, **ORDERED, "ticket_id": TICKET, "active": True, "idempotency_key": "key 1",
            "outbox": [EVENT], "outbox_at": BEFORE,
        },
    },
    "payments": {
        "payments": {
            "_id": ORDER, "version": 3, "status": "authorized", "stripe_id": "pi_1", "creating_at": None,
            "confirming_at": None, "amount_cents": 1999, "currency": "usd", "declines": 0, "decline_code": None,
            "capture_tries": 0, "capture_refused_at": None, "card_brand": None, "card_last4": None, **TIMES,
            "order": {"id": ORDER, "price_cents": 1999, "currency": "usd", **ORDERED},
            "work_left": False, "visited_at": BEFORE,
        },
    },
    "expiration": {
        "deadlines": {"_id": ORDER, "version": 1, "order_version": 1, "expires_at": UNTIL, "state": "open"},
    },
}  # fmt: skip
"""A document of each collection, as the oldest version stored it that this one can migrate."""


def test_every_service_has_documents_here():
    assert set(DOCUMENTS) == set(SERVICES), "add one to DOCUMENTS, and to `read` below what reads it"


def fill(service, database):
    """Store what version 0.1 did."""
    for collection, document in DOCUMENTS[service].items():
        database[collection].insert_one(document.copy())


@pytest.fixture
def databases(servers):
    """The databases of the services, with data of version 0.1, and their addresses."""
    stack = [new_database(servers) for _ in SERVICES]
    urls = {service: manager.__enter__() for service, manager in zip(SERVICES, stack, strict=True)}
    opened = {service: connect(url) for service, url in urls.items()}
    for service, database in opened.items():
        fill(service, database)
    yield opened, urls
    for database, manager in zip(opened.values(), stack, strict=True):
        database.client.close()
        manager.__exit__(None, None, None)


def command(urls):
    """Run the command; return what it logged, without its times and names."""
    settings = {f"{service.upper()}_MONGO_URL": url for service, url in urls.items()}
    words = [sys.executable, "-W", "ignore", "-m", "ops.migrate"]
    done = subprocess.run(words, env=settings, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    return "".join(f"{line.partition('] ')[2]}\n" for line in done.stderr.splitlines())


def contents(databases):
    """Return every document and index."""
    return {
        (service, name): (sorted(database[name].find(), key=str), sorted(database[name].index_information().items()))
        for service, database in databases.items()
        for name in database.list_collection_names()
    }


def test_one_command_migrates_all_databases_and_changes_nothing_the_second_time(databases):
    opened, urls = databases

    first, migrated = command(urls), contents(opened)
    second = command(urls)

    assert "orders: built the index on ticket_id of orders\n" in first
    assert "auth: forget unkeyed counters: 1\n" in first
    assert (second, contents(opened)) == ("the databases are up to date\n", migrated)


UNIQUE = [
    (service, collection, index.document["name"])
    for service, schema in SCHEMAS.items()
    for collection, indexes in schema.indexes.items()
    for index in indexes
    if index.document.get("unique")
]


@pytest.mark.parametrize(("service", "collection", "name"), UNIQUE)
def test_a_service_refuses_to_serve_without_a_unique_index(mongo, mongo_url, service, collection, name):
    migrate(mongo, SCHEMAS[service])
    mongo[collection].drop_index(name)
    container = Container(CLASSES[service], NOWHERE | {"MONGO_URL": mongo_url})

    with closed_databases(), pytest.raises(MissingIndexes) as refusal:
        StoreProvider.setup(get_extension(container, StoreProvider))

    assert str(refusal.value).startswith(f"{service} does not start, ")
    assert str(refusal.value).endswith(f" of {collection}. Run `python -m ops.migrate` first.")


def test_data_of_the_previous_version_are_served_after_the_migration(servers):
    with services_in_process(servers, fill) as (client, signers):
        signed_in = {"email": "ana@example.org", "password": PASSWORD, "address": "192.0.2.7"}
        bo = signers["auth"].mint(BO, 60, email="bo@example.org", generation=0)

        gateway = signers["gateway"].mint_service("auth")
        assert client.call("auth", "sign_in", signed_in, token=gateway)["user"]["id"] == ANA
        assert [found["id"] for found in client.call("tickets", "list", {"status": "all", "q": "ham"})["tickets"]] == [
            TICKET
        ]
        (event,) = client.call("tickets", "list", {"status": "all", "by_event": True})["tickets"]
        assert client.call("tickets", "event", {"event_id": event["event_id"]})["event"]["id"] == TICKET
        again = {"ticket_id": TICKET, "idempotency_key": "key 1"}
        order = client.call("orders", "create", again, token=bo)
        assert (order["id"], order["ticket"]) == (ORDER, dict.fromkeys(OrderedTicket().fields) | FROZEN)
        assert client.call("payments", "get", {"order_id": ORDER}, token=bo)["status"] == "authorized"
        versions = client.call("payments", "versions", {}, token=signers["orders"].mint_service("payments"))
        assert versions == [[ORDER, 3]]  # orders will fetch it once
        revoked = client.call("auth", "revocations", {"process": "one", "sessions": 0, "users": 0}, token=gateway)
        assert "session 1" in str(revoked)
        assert client.services["expiration"].store.find(ORDER).state == "open"


def test_nothing_is_kept_of_an_address_that_can_be_found_by_trial(mongo):
    fill("auth", mongo)

    migrate(mongo, SCHEMAS["auth"])

    assert PLAIN not in str(list(mongo.users.find()) + list(mongo.attempts.find()))


@pytest.mark.parametrize("service", SERVICES)
def test_every_collection_of_aggregates_has_the_index_by_which_the_relay_finds_full_outboxes(service, mongo):
    aggregates = [value for value in vars(STORES[service](mongo)).values() if isinstance(value, Aggregates)]

    assert aggregates
    for each in aggregates:
        assert OUTBOX_INDEX in SCHEMAS[service].indexes[each.collection.name]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_documents_of_the_version_after_it(service, servers):
    with new_database(servers) as url:
        database = connect(url)
        for name, document in DOCUMENTS[service].items():
            database[name].insert_one({**document, "a_later_field": 1})

        store = STORES[service](database)
        read = {
            "auth": lambda: store.find(ANA), "tickets": lambda: store.get(TICKET), "orders": lambda: store.get(ORDER),
            "payments": lambda: store.get(ORDER), "expiration": lambda: store.find(ORDER),
        }  # fmt: skip

        assert read[service]()
        database.client.close()
