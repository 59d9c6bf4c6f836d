"""docs/operations.md, by symptom: each fault is injected, and the commands on the page show and repair it."""

import re
import secrets
import sys
from contextlib import closing
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import pytest
from kombu import Connection
from pymongo.errors import ServerSelectionTimeoutError

from auth.operator_store import OperatorStore
from dev.testing import new_vhost
from expiration.schedule import Schedule
from libs.alarms import ALARM_EVERY
from libs.amqp import Outgoing, Publisher
from libs.clock import utc_now
from libs.contracts.events import CATALOGUE
from libs.events import Batch, topology
from libs.events.aggregates import aggregates_of
from libs.events.anti_entropy import AntiEntropyProvider
from libs.events.parking import Parking
from libs.redis import connect
from libs.rpc import Client, RemoteError
from ops.shell.names import names
from ops.shell.operator_client import LISTENERS, OperatorClient
from tests.in_process import SERVICES, services_in_process

PAGE = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
LISTED = PAGE[PAGE.index("\n## Symptoms") : PAGE.index("\n## Texts") + 4]
SYMPTOMS = dict(re.findall(r"^### ([^\n]*)\n(.*?)(?=^##)", LISTED, re.M | re.S))
AGO = timedelta(minutes=5)


class Site:
    """The services with a broker and a Redis, and the shell of an operator."""

    def __init__(self, client, signers, amqp_url):
        self.client, self.signers, self.amqp_url = client, signers, amqp_url
        self.shell = names(OperatorClient(client, signers["operator"]))
        for listener in LISTENERS:
            client.services[listener].parking = Parking(amqp_url)
        queues = [f"orders.{event.name}" for event in CATALOGUE.values() if "orders" in event.listeners]
        client.services["orders"].parking = Parking(amqp_url, queues, [topology.wait_name("orders", 30.0)])

    def call(self, method, bearer, **arguments):
        service, _, name = method.partition(".")
        return self.client.call(service, name, arguments, token=bearer)

    def store(self, service):
        return self.client.services[service].store

    def user(self):
        """Return the address and the token of a new user."""
        email = f"bo-{secrets.token_hex(4)}@example.org"
        signed_up = self.call(
            "auth.sign_up", self.signers["gateway"].mint_service("auth"), email=email, password="correct horse battery"
        )
        return email, signed_up["token"]

    @cached_property
    def seller(self):
        """The token of the user who sells every ticket: signing up takes longer than most of what a test does."""
        return self.user()[1]

    def ticket(self, title="Hamlet"):
        return self.call("tickets.create", self.seller, title=title, price_cents=1999)["id"]

    def reserved(self, token=None):
        return self.call("orders.create", token or self.user()[1], ticket_id=self.ticket())["id"]

    def bought(self, token=None):
        """Return the id of an order that is paid for and complete, its events delivered."""
        token = token or self.user()[1]
        order_id = self.reserved(token)
        self.call("payments.pay", token, order_id=order_id, token="pm_card_visa")
        self.deliver_payment(order_id)
        return order_id

    def deliver_payment(self, order_id):
        """Let orders and payments hear of each other until nothing is left to say."""
        orders, payments = self.client.services["orders"], self.client.services["payments"]
        for _ in range(2):
            orders.on_payment(CATALOGUE["PaymentCreated"].load(self.parsed("payments", order_id)))
            payments.on_order(CATALOGUE["OrderUpdated"].load(self.parsed("orders", order_id)))

    def parsed(self, service, order_id):
        token = self.signers["operator"].mint_call(f"{service}.snapshots")
        return self.call(f"{service}.snapshots", token, ids=[order_id])[0]

    def status(self, order_id):
        return self.parsed("orders", order_id)["status"]

    def change(self, service, collection, ident, **fields):
        assert self.database(service)[collection].update_one({"_id": ident}, {"$set": fields}).matched_count == 1

    def database(self, service):
        return aggregates_of(self.client.services[service].store)[0].collection.database

    def park(self, queue, ident, reason):
        self.publish("", topology.parked_name(queue), ident, {"x-reason": reason, "x-failed-at": utc_now().isoformat()})

    def publish(self, exchange, key, ident, headers):
        with closing(Publisher(self.amqp_url)) as publisher:
            assert publisher.publish([Outgoing(exchange, key, b'{"id": "x"}', headers, ident)]) == {}


@pytest.fixture(scope="module")
def module_site(servers, redis_database):
    with (
        services_in_process(servers, REDIS_URL=redis_database) as (client, signers),
        new_vhost(servers) as amqp_url,
    ):
        with Connection(amqp_url) as connection:
            CATALOGUE.declare(connection.channel())
        yield Site(client, signers, amqp_url)


@pytest.fixture
def site(module_site, monkeypatch):
    """The site, whose operator is asked and says yes."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda: "y")
    monkeypatch.setenv("OPERATOR_RESTART_COMMAND", f"{sys.executable} -c pass")
    with Connection(module_site.amqp_url) as connection:
        for event in CATALOGUE.values():
            for listener in event.listeners:
                connection.channel().queue_purge(topology.parked_name(f"{listener}.{event.name}"))
    return module_site


def run(site, symptom, **ids):
    """Run the commands that the page gives for a symptom, these words replaced by those values; return the answers."""
    answers = []
    for line in re.findall(r"^    (.+)$", SYMPTOMS[symptom], re.M):
        for word, value in ids.items():
            line = line.replace(word, value)
        answers.append(eval(line, dict(site.shell)))  # noqa: S307 - of our own page
    return answers


def kinds(rows, ident):
    return {row["kind"]: row["repair"] for row in rows if row["id"] == ident}


def test_an_operator_finds_a_buyers_order_by_their_address_and_reads_its_story(site):
    email, token = site.user()
    order_id = site.bought(token)

    found, story = run(site, "A buyer asks what became of an order", **{"bo@example.org": email, "ORDER": order_id})

    assert [(row["kind"], row["id"]) for row in found][1:] == [("order", order_id)] and found[0]["what"] == email
    told = [(row["who"].partition(" ")[0], row["what"]) for row in story]
    assert [what for who, what in told if who in ("buyer", "payments", "orders") and "outbox" not in what][:5] == [
        "reserved",
        "begins to be paid",
        "the card is authorized: being captured",
        "charged",
        "complete",
    ]
    assert ("orders", "OrderCompleted 3 waits in the outbox") in told
    assert ("payments", "up to date: version 3 of 3") in told
    assert ("expiration", "the time to pay ends") not in told


def test_a_story_tells_what_an_operator_did_however_often_the_order_was_looked_at_since(site):
    order_id = site.reserved()
    site.shell["cancel"](order_id, "called off")
    actions = site.database("auth").operator_actions
    look = {"who": "olga", "method": "orders.snapshot", "arguments": "{}", "order_id": order_id}
    actions.insert_many({**look, "_id": secrets.token_hex(8), "at": utc_now()} for _ in range(250))

    told = [line for line in site.shell["story"](order_id) if line["who"] == "olga"]

    assert [line["reason"] for line in told] == ["called off"]


def test_an_operator_refunds_a_buyer_who_asks_for_it(site):
    order_id = site.bought()

    _, refunded = run(site, "A buyer wants the money back", ORDER=order_id)

    assert (refunded["status"], refunded["refunded_cents"]) == ("refunded", 1999)
    assert refunded["refund"]["by"] == "olga"


def test_an_operator_makes_a_partial_refund_once_however_often_the_command_is_repeated(site):
    order_id = site.bought()

    for _ in range(2):
        (refunded,) = run(site, "A buyer is to get some of the money back", ORDER=order_id)

    assert (refunded["status"], refunded["refunded_cents"]) == ("captured", 500)
    with pytest.raises(ValueError, match="5,00 is no amount of USD"):
        site.shell["refund"](order_id, "why", "5,00")


def test_an_operator_gives_a_buyer_more_time(site):
    order_id = site.reserved()
    before = site.parsed("orders", order_id)["expires_at"]

    (order,) = run(site, "A buyer needs more time to pay", ORDER=order_id)

    assert order["expires_at"] > before


def test_an_order_that_is_held_after_its_time_is_shown_and_cancelled(site):
    order_id = site.reserved()
    site.change("orders", "orders", order_id, expires_at=utc_now() - AGO)

    shown, cancelled = run(site, "An order is past its deadline", ORDER=order_id)

    assert kinds(shown, order_id) == {"order past its deadline": f'cancel("{order_id}", "…")'}
    assert (cancelled["status"], cancelled["cancel_reason"]) == ("cancelled", "operator")


def test_a_payment_that_is_not_captured_is_shown_and_settled(site):
    _, token = site.user()
    order_id = site.reserved(token)
    site.call("payments.pay", token, order_id=order_id, token="pm_card_visa")
    site.client.services["orders"].on_payment(CATALOGUE["PaymentCreated"].load(site.parsed("payments", order_id)))
    site.change("orders", "orders", order_id, updated_at=utc_now() - AGO)
    order = CATALOGUE["OrderUpdated"].load(site.parsed("orders", order_id))
    site.store("payments").apply_order(order)  # and payments dies before it settles
    site.change("payments", "payments", order_id, confirming_at=utc_now() - AGO)

    shown, settled = run(site, "A buyer has paid, and the order waits", ORDER=order_id)

    repair = f'settle("{order_id}")'
    assert kinds(shown, order_id) == {"order awaiting payment": repair, "payment confirming": repair}
    assert (settled["status"], settled["is_confirming"]) == ("captured", False)


def test_a_webhook_that_cannot_be_settled_is_shown(site):
    order_id = site.bought()
    stripe_id = site.parsed("payments", order_id)["stripe_id"]
    failing = {"failures": ALARM_EVERY, "failure": "KeyError: 'x'", "waiting": True, "tried_at": utc_now()}
    about = {"type": "charge.refunded", "stripe_id": stripe_id}
    older, newer = (f"evt_{secrets.token_hex(4)}" for _ in range(2))
    named = {"_id": newer, "received_at": utc_now() - AGO, "order_id": order_id}
    unnamed = {"_id": older, "received_at": utc_now() - 2 * AGO, "order_id": None}  # as a dispute's
    site.store("payments").inbox.collection.insert_many([{**each, **about, **failing} for each in (named, unnamed)])

    shown, settled = run(site, "A webhook is not settled", ORDER=order_id)

    assert kinds(shown, newer) == {"webhook not settled": f'settle("{order_id}")'}
    assert kinds(shown, older) == {"webhook not settled": f'settle("{stripe_id}")'}
    assert settled["status"] == "captured" == site.shell["settle"](stripe_id, yes=True)["status"]
    assert [row["id"] for row in shown if row["id"] in (older, newer)] == [older, newer]


def test_what_is_not_as_it_should_be_is_listed_by_kind_and_the_oldest_of_each_first(site):
    for ago in (1, 3, 2):
        site.change("orders", "orders", site.reserved(), expires_at=utc_now() - ago * AGO, outbox_at=utc_now() - AGO)

    shown = site.shell["stuck"]()

    kinds_and_ages = [(row["kind"], -(row["age_seconds"] or 0)) for row in shown]
    assert kinds_and_ages == sorted(kinds_and_ages)
    assert len({kind for kind, _ in kinds_and_ages}) > 2 and all(row["repair"] for row in shown)


def test_a_refund_that_failed_is_shown_and_asked_for_again(site):
    order_id = site.bought()
    asked = {"by": "olga", "reason": "called off", "at": utc_now() - AGO}
    site.change("payments", "payments", order_id, refund=asked, refund_failed_at=utc_now() - AGO)

    shown, refunded = run(site, "A refund failed", ORDER=order_id)

    assert kinds(shown, order_id) == {"refund failed": f'refund("{order_id}", "called off")'}
    assert refunded["status"] == "refunded" and refunded["earlier_refunds"][0]["reason"] == "called off"


def test_a_refund_that_stays_pending_is_shown_and_looked_at_again(site):
    order_id = site.bought()
    pending = {"refunding_cents": 500, "work_left": True, "updated_at": utc_now() - timedelta(days=2)}
    site.change("payments", "payments", order_id, **pending, visited_at=utc_now())

    shown, settled = run(site, "A refund stays pending", ORDER=order_id)

    assert kinds(shown, order_id) == {"refund pending": f'settle("{order_id}")'}
    assert settled["refunding_cents"] == 0


def test_a_refund_that_stripe_has_not_made_is_shown_and_made(site):
    order_id = site.bought()
    refund = {"by": "olga", "reason": "called off", "at": utc_now() - 5 * AGO}
    site.change("payments", "payments", order_id, refund=refund, work_left=True, visited_at=utc_now())
    told = site.shell["story"](order_id)

    shown, settled = run(site, "A refund is not made", ORDER=order_id)

    assert kinds(shown, order_id) == {"refund waiting": f'settle("{order_id}")'}
    assert "refund of everything: not made yet" in [line["what"] for line in told]
    assert settled["status"] == "refunded"
    assert not [line for line in site.shell["story"](order_id) if "not made yet" in line["what"]]


def test_the_story_of_an_order_tells_what_became_of_each_refund(site):
    order_id = site.bought()
    site.shell["refund"](order_id, "one seat was broken", "5.00")
    (made,) = site.store("payments").get(order_id).partial_refunds
    failed = {**made, "id": "other", "state": "failed", "amount_cents": 299}
    site.change("payments", "payments", order_id, partial_refunds=[made, failed])

    told = [line["what"] for line in site.shell["story"](order_id)]

    assert [what for what in told if what.startswith("refund of")] == [
        "refund of 5.00 USD: created",
        "refund of 2.99 USD: failed",
    ]


def test_parked_events_are_shown_and_replayed(site):
    site.park("orders.TicketUpdated", "a", "KeyError: 'x'")

    shown, parked, replayed = run(site, "Events are parked")

    repair = 'replay("orders.TicketUpdated", exception="KeyError")'
    assert kinds(shown, "orders.TicketUpdated")["events parked"] == repair
    assert (parked[0]["event_id"], parked[0]["replays"]) == ("a", 0)
    assert replayed == {"replayed": 1, "left": 0}


def test_an_event_that_nobody_can_handle_is_archived_and_taken_away(site):
    site.park("orders.TicketUpdated", "poison", "Unreadable: no JSON")

    shown, taken, archived = run(site, "An event can never be handled")

    assert [event["event_id"] for event in shown] == ["poison"] and taken == {"discarded": 1, "left": 0}
    kept = archived[0]
    assert (kept["event_id"], kept["discarded_by"], kept["discarded_because"], kept["body"]) == (
        "poison",
        "olga",
        "no event of ours",
        '{"id": "x"}',
    )
    assert site.shell["parked"]() == []


def test_an_event_that_is_tried_for_ever_is_shown_with_the_reason(site):
    with Connection(site.amqp_url) as connection:
        topology.declare_waits(connection.channel(), "orders", (30.0,))
    headers = {
        "x-attempt": ALARM_EVERY + 1,
        "x-reason": "ServiceUnavailable: tickets",
        "x-failed-at": utc_now().isoformat(),
    }
    site.publish("", topology.wait_name("orders", 30.0), "patient", headers)

    (shown,) = run(site, "An event keeps failing")

    repair = kinds(shown, "patient")["event retried"]
    assert repair.startswith('restart("orders")  # ') and "retried automatically" in repair
    assert "ServiceUnavailable" in next(row["why"] for row in shown if row["id"] == "patient")


def test_a_copy_that_is_out_of_date_is_repaired(site):
    ticket_id = site.ticket()
    copies = site.database("orders").tickets
    copies.update_one({"_id": ticket_id}, {"$set": {"version": 0}}, upsert=True)

    shown, repaired = run(site, "A page is out of date")

    providers = (each for service in SERVICES for each in vars(service).values())
    compared = {each.anti_entropy.name for each in providers if isinstance(each, AntiEntropyProvider)}
    assert {row["copies"] for row in shown} == compared >= {"orders.tickets", "orders.payments"}
    assert repaired["orders"] >= 1 and copies.find_one({"_id": ticket_id})["version"] == 1


def test_an_outbox_that_is_not_published_is_shown(site):
    order_id = site.reserved()
    site.change("orders", "orders", order_id, outbox_at=utc_now() - AGO)

    shown, restarted = run(site, "Events are not published")

    assert next(row for row in shown if row["collection"] == "orders")["oldest_seconds"] >= AGO.total_seconds()
    assert kinds(site.shell["stuck"](), "orders.orders") == {"outbox not published": 'restart("orders")'}
    assert restarted == {"restarted": "orders"}


def test_a_queue_to_which_nobody_listens_is_shown(site):
    shown, restarted = run(site, "Nobody listens to a queue")

    assert {row["queue"]: row["listeners"] for row in shown}["orders.PaymentCreated"] == 0
    assert kinds(site.shell["stuck"](), "orders.PaymentCreated") == {"queue without listener": 'restart("orders")'}
    assert restarted == {"restarted": "orders"}
    (noted, *_) = [each for each in site.shell["actions"]() if each["method"] == "auth.note_action"]
    assert (noted["who"], noted["arguments"]) == ("olga", {"what": "restart orders"})


def test_a_deadline_whose_job_is_late_is_shown(site):
    order_id = site.reserved()
    order = CATALOGUE["OrderCreated"].load(site.parsed("orders", order_id))
    site.client.services["expiration"].on_orders_created(Batch([{**order, "expires_at": utc_now() - AGO}], [None]))

    shown, _ = run(site, "Deadlines are missed")

    assert order_id in [late["order_id"] for late in shown["late"]] and shown["scheduled"] >= 1
    assert kinds(site.shell["stuck"](), order_id) == {"job late": 'restart("scheduler")'}


def test_a_redis_that_does_not_answer_is_shown(site, monkeypatch):
    nowhere = Schedule(connect("redis://127.0.0.1:1/0"))
    monkeypatch.setattr(site.client.services["expiration"], "schedule", nowhere)

    shown, _ = run(site, "Redis does not answer")

    assert kinds(shown, "redis") == {"Redis does not answer": 'restart("redis")'}


def test_a_broker_that_does_not_answer_is_shown(site):
    broken = Site.__new__(Site)
    with closing(Client("amqp://operator@127.0.0.1:1//", "operator")) as client:
        broken.shell = names(OperatorClient(client, site.signers["operator"]))

        shown, _ = run(broken, "RabbitMQ does not answer")

    assert kinds(shown, "rabbitmq") == {"RabbitMQ does not answer": 'restart("rabbitmq")'}
    assert "Connection refused" in shown[0]["why"]


def test_a_service_that_does_not_answer_is_shown(site, monkeypatch, capsys):
    without = dict(site.client.services)
    payments = without.pop("payments")
    monkeypatch.setattr(site.client, "services", without)
    broken = Site.__new__(Site)
    broken.shell = names(OperatorClient(site.client, site.signers["operator"]))

    shown, _ = run(broken, "A service does not answer")

    assert kinds(shown, "payments") == {"a service does not answer": 'restart("payments")'}
    assert "payments does not answer" in capsys.readouterr().err
    monkeypatch.setattr(site.client, "services", {**without, "payments": payments})
    assert kinds(broken.shell["stuck"](), "payments") == {}


def test_a_database_that_does_not_answer_is_shown(site, monkeypatch):
    def begin(*_arguments):
        raise ServerSelectionTimeoutError("127.0.0.1:1: Connection refused")

    monkeypatch.setattr(OperatorStore, "begin", begin)

    shown, _ = run(site, "MongoDB does not answer")

    assert [(each["kind"], each["repair"]) for each in shown] == [("MongoDB does not answer", 'restart("mongo")')]
    assert "Connection refused" in shown[0]["why"]


def test_an_account_that_was_stolen_is_found_and_locked_and_unlocked(site):
    email, token = site.user()

    run(site, "An account was taken over", **{"bo@example.org": email})

    found, unlocked = run(site, "A user cannot sign in", **{"bo@example.org": email})
    assert found[0]["state"].startswith("locked since") and unlocked["locked_at"] is None


def test_a_listing_is_found_by_its_words_and_taken_off_sale(site):
    ticket_id = site.ticket("Hamlet, forged")

    found, withdrawn = run(site, "A listing must be removed", TICKET=ticket_id)

    assert ticket_id in [row["id"] for row in found]
    assert withdrawn["status"] == "withdrawn"


def test_a_banner_is_announced_and_removed(site):
    announced, removed = run(site, "All users need to know something")

    assert announced["texts"]["de"] == "Zahlungen dauern heute länger." and removed["texts"] == {}
    assert removed["version"] == announced["version"] + 1
    token = site.signers["gateway"].mint_service("auth")
    assert site.call("auth.announcement", token) == {"version": removed["version"], "texts": {}}


@pytest.mark.parametrize(
    "texts", [{"en": "x" * 301}, {"en": ""}, {"en": "a\nb"}, {"en": 1}, {"English": "x"}, "x", ["x"]]
)
def test_a_banner_that_harms_pages_is_refused(site, texts):
    token = site.signers["operator"].mint_call("auth.set_announcement")

    with pytest.raises(RemoteError, match="InvalidArguments"):
        site.call("auth.set_announcement", token, texts=texts)


def test_every_symptom_has_its_test():
    tested = re.findall(r'run\(\w+, "([^"]*)"', Path(__file__).read_text())

    assert SYMPTOMS.keys() == set(tested)
