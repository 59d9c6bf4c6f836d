"""Calls of the services themselves, in this process and some over the wire: the answer names the invalid argument."""

import pytest

from dev.stack.programs import environment
from libs.rpc import RemoteError
from libs.tokens import Signer
from tests.in_process import services_in_process

HUGE, HALF = 10**30, "\ud800"
KNOWN = "0" * 24
TICKET = {"title": "Hamlet", "price_cents": 1999}


@pytest.fixture(scope="module")
def in_process(servers):
    with services_in_process(servers) as (client, signers):
        yield client, signers


@pytest.fixture
def call(in_process):
    """Return what calls a service inside this process as a user."""
    client, signers = in_process
    return caller(client, signers["auth"])


@pytest.fixture
def call_over_the_wire(system, operator):
    """Return what calls a service of the running system as a user."""
    return caller(operator.client, Signer(environment("auth", system)["AUTH_SIGNING_KEY"]))


def caller(client, signer):
    def call(method, arguments):
        service, name = method.split(".")
        return client.call(service, name, arguments, token=signer.mint("somebody", 60, email="somebody@example.org"))

    return call


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("tickets.list", {"limit": "x"}),
        ("tickets.list", {"limit": True}),
        ("tickets.list", {"limit": 0}),
        ("tickets.list", {"limit": HUGE}),
        ("tickets.list", {"limit": 1.5}),
        ("tickets.list", {"sort": "bogus"}),
        ("tickets.list", {"sort": ["newest"]}),
        ("tickets.list", {"status": {"$ne": 1}}),
        ("tickets.list", {"status": "withdrawn"}),
        ("tickets.list", {"category": {"$ne": 1}}),
        ("tickets.list", {"q": {"$regex": "."}}),
        ("tickets.list", {"q": HALF}),
        ("tickets.list", {"q": "x" * 201}),
        ("tickets.list", {"min_price_cents": "1"}),
        ("tickets.list", {"max_price_cents": HUGE}),
        ("tickets.list", {"seller_id": "ana"}),
        ("tickets.list", {"min_price_cents": 2000, "max_price_cents": 1999}),
        ("tickets.list", {"place": {"$gt": ""}}),
        ("tickets.list", {"starts_from": "2030-01-31"}),
        ("tickets.list", {"count": 1}),
        ("tickets.list_mine", {"status": "over"}),
        ("tickets.list_mine", {"limit": None}),
        ("tickets.get", {"ticket_id": {"$ne": None}}),
        ("tickets.get", {"ticket_id": HALF}),
        ("tickets.update", {"ticket_id": 7, **TICKET}),
        ("tickets.update", {"ticket_id": KNOWN, **TICKET, "version": "1"}),
        ("tickets.create", {**TICKET, "idempotency_key": {"$gt": ""}}),
        ("tickets.create", {**TICKET, "idempotency_key": "x" * 256}),
        ("tickets.withdraw", {"ticket_id": None}),
        ("tickets.withdraw", {"ticket_id": KNOWN, "version": HUGE}),
        ("orders.create", {"ticket_id": KNOWN, "version": "1"}),
        ("orders.create", {"ticket_id": KNOWN, "version": HUGE}),
        ("orders.create", {"ticket_id": {"$ne": 1}}),
        ("orders.create", {"ticket_id": KNOWN, "idempotency_key": {"$gt": ""}}),
        ("orders.create", {"ticket_id": KNOWN, "idempotency_key": "x" * 256}),
        ("orders.get", {"order_id": {"$ne": 1}}),
        ("orders.cancel", {"order_id": [KNOWN]}),
        ("orders.extend", {"order_id": [KNOWN]}),
        ("orders.list", {"limit": "all"}),
    ],
)
def test_a_wrong_argument_is_named(call, method, arguments):
    with pytest.raises(RemoteError) as refusal:
        call(method, arguments)

    assert (refusal.value.name, bool(refusal.value.message)) == ("InvalidArguments", True)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("tickets.list", {"limit": HUGE}),
        ("tickets.list", {"q": HALF}),
        ("tickets.get", {"ticket_id": {"$ne": None}}),
        ("orders.create", {"ticket_id": KNOWN, "version": HUGE}),
        ("orders.cancel", {"order_id": [KNOWN]}),
    ],
)
def test_over_the_wire_a_wrong_argument_is_named(call_over_the_wire, method, arguments):
    with pytest.raises(RemoteError) as refusal:
        call_over_the_wire(method, arguments)

    assert (refusal.value.name, bool(refusal.value.message)) == ("InvalidArguments", True)


@pytest.mark.parametrize("after", ["x", 7, {"$gt": ""}, HALF, "eyJfaWQiOiJcdWQ4MDAifQ"])
@pytest.mark.parametrize("method", ["tickets.list", "tickets.list_mine", "orders.list"])
def test_a_wrong_page_marker_is_named(call, method, after):
    with pytest.raises(RemoteError) as refusal:
        call(method, {"after": after})

    assert refusal.value.name == "InvalidCursor"


@pytest.mark.parametrize(
    "wrong",
    [{"title": 7}, {"title": HALF}, {"price_cents": "1"}, {"price_cents": HUGE}, {"venue": {}}, {"starts_at": 1}],
)
def test_a_wrong_listing_is_named(call, wrong):
    with pytest.raises(RemoteError) as refusal:
        call("tickets.create", {**TICKET, **wrong})

    assert refusal.value.name == "InvalidTicket"


@pytest.mark.parametrize(
    "expires_at",
    ["tomorrow", "2031-01-01T00:00:00", 7, None, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999Z"],
)
def test_a_wrong_deadline_is_named(in_process, expires_at):
    client, signers = in_process
    deadline = {"order_id": KNOWN, "expires_at": expires_at}

    with pytest.raises(RemoteError) as refusal:
        client.call("orders", "move_deadline", deadline, token=signers["operator"].mint_call("orders.move_deadline"))

    assert refusal.value.name == "InvalidArguments"


WRONG_NAMES: tuple[tuple[str, dict[str, str]], ...] = (
    ("tickets.create", {}),
    ("tickets.get", {}),
    ("orders.create", {"ticket": KNOWN}),
)


@pytest.mark.parametrize(("method", "arguments"), WRONG_NAMES)
def test_an_argument_that_is_missing_or_unknown_is_named(call, method, arguments):
    with pytest.raises(RemoteError) as refusal:
        call(method, arguments)

    assert refusal.value.name == "IncorrectSignature"


@pytest.mark.parametrize(("method", "arguments"), WRONG_NAMES)
def test_over_the_wire_an_argument_that_is_missing_or_unknown_is_named(call_over_the_wire, method, arguments):
    with pytest.raises(RemoteError) as refusal:
        call_over_the_wire(method, arguments)

    assert refusal.value.name == "IncorrectSignature"
