from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from dev.testing import commands_on
from libs.contracts.errors import OrderNotFound
from libs.events import VersionConflict
from libs.schema import migrate
from payments.card_provider import CardProvider
from payments.domain import Payment
from payments.order_copies import copy_order
from payments.settlement import Settlement
from payments.store import PaymentStore

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def an_order(ident, version, status):
    return {"id": ident, "version": version, "status": status, "buyer_id": "bo", "price_cents": 1999, "currency": "usd"}


def begun(store, order):
    """Let somebody begin to pay an order, as orders answers that it is."""
    store.open(order["id"], NOON)
    store.store_answer(order)
    return store.get(order["id"])


def test_an_event_and_the_answer_of_orders_at_the_same_moment_end_in_the_newer(mongo):
    store, gate = PaymentStore(mongo), Barrier(2)

    def do(action, order):
        gate.wait(10)
        action(order)

    with ThreadPoolExecutor(2) as pool:
        for number in range(100):
            store.open(f"o{number}", NOON)
            answer, event = an_order(f"o{number}", 1, "created"), an_order(f"o{number}", 2, "cancelled")
            list(pool.map(do, [store.store_answer, store.apply_order], [answer, event]))

    assert {store.get(f"o{number}").order["status"] for number in range(100)} == {"cancelled"}


def test_an_order_that_nobody_pays_is_not_stored(mongo):
    store = PaymentStore(mongo)

    with commands_on(mongo) as commands:
        unpaid = [
            store.apply_order(an_order("o1", no, status)) for no, status in enumerate(("created", "cancelled"), 1)
        ]

    assert [each["op"] for each in commands] == ["query", "query"]
    assert unpaid == [None, None]
    assert mongo.payments.count_documents({}) == 0


def test_a_payment_is_not_found_until_orders_has_answered(mongo):
    store = PaymentStore(mongo)
    store.open("o1", NOON)
    store.apply_order(an_order("o1", 1, "created"))  # late: what came after it may have been acknowledged before

    assert (store.find("o1"), store.find_all(["o1"])) == (None, [])

    payment = begun(store, an_order("o1", 2, "cancelled"))

    assert payment.order == an_order("o1", 2, "cancelled")
    assert (payment.amount_cents, payment.currency, payment.version) == (1999, "usd", 1)


def test_an_event_that_comes_while_orders_is_being_asked_settles_nothing(mongo):
    store = PaymentStore(mongo)
    settlement = Settlement(store, CardProvider("sk_test_none"))
    store.open("o1", NOON)

    for _ in range(2):
        settlement.apply_order(an_order("o1", 1, "created"))

    assert mongo.payments.find_one({"_id": "o1"})["order"]["version"] == 1


def test_the_copy_and_that_stripe_is_asked_next_are_one_write(mongo):
    store, order = PaymentStore(mongo), an_order("o1", 1, "created")

    with commands_on(mongo) as commands:
        begun = copy_order(store, "o1", lambda order_id: order, NOON, lambda payment: payment.may_be_paid_by("bo"))

    assert [each["op"] for each in commands] == ["query", "insert", "update"]
    assert begun == store.get("o1")
    assert (begun.order, begun.creating_at, begun.version) == (order, NOON, 2)
    assert mongo.payments.find_one({"_id": "o1"})["work_left"] is True


@pytest.mark.parametrize(("buyer_id", "status"), [("cy", "created"), ("bo", "cancelled")])
def test_nothing_is_begun_for_whom_may_not_pay(mongo, buyer_id, status):
    store, order = PaymentStore(mongo), an_order("o1", 1, status)

    copy_order(store, "o1", lambda order_id: order, NOON, lambda payment: payment.may_be_paid_by(buyer_id))

    assert store.get("o1") == Payment.open(order, NOON)


def test_an_order_that_is_cancelled_while_orders_is_being_asked_is_not_begun(mongo):
    store = PaymentStore(mongo)

    def fetch(order_id):
        store.apply_order(an_order("o1", 2, "cancelled"))
        return an_order("o1", 1, "created")

    assert copy_order(store, "o1", fetch, NOON, lambda payment: payment.may_be_paid_by("bo")) is None
    assert store.get("o1") == Payment.open(an_order("o1", 2, "cancelled"), NOON)


def test_paying_an_order_that_there_is_not_leaves_nothing(mongo):
    store = PaymentStore(mongo)

    def fetch(order_id):
        raise OrderNotFound("There is no such order.")

    with pytest.raises(OrderNotFound):
        copy_order(store, "o1", fetch, NOON)

    assert mongo.payments.count_documents({}) == 0


def test_an_older_or_equal_snapshot_changes_nothing(mongo):
    store = PaymentStore(mongo)

    begun(store, an_order("o1", 2, "cancelled"))
    store.apply_order(an_order("o1", 1, "created"))
    store.apply_order(an_order("o1", 2, "complete"))

    assert store.get("o1").order == an_order("o1", 2, "cancelled")


def test_only_a_payment_of_which_stripe_was_asked_may_have_something_to_settle(mongo):
    store = PaymentStore(mongo)
    payment = begun(store, an_order("o1", 1, "created"))
    is_unsettled = store.apply_order(an_order("o1", 2, "created"))

    payment = store.get("o1")
    payment.creating_at = NOON
    payment.mark_changed(NOON)
    store.save(payment)

    assert is_unsettled is None
    assert store.apply_order(an_order("o1", 3, "cancelled")) == store.get("o1")
    assert store.apply_order(an_order("o1", 3, "cancelled")) == store.get(
        "o1"
    )  # whoever kept it may have died before settling


def test_a_payment_that_was_read_with_an_older_copy_of_its_order_cannot_be_saved(mongo):
    store = PaymentStore(mongo)
    payment = begun(store, an_order("o1", 1, "created"))
    store.apply_order(an_order("o1", 2, "cancelled"))

    payment.creating_at = NOON
    payment.mark_changed(NOON)
    with pytest.raises(VersionConflict):
        store.save(payment)

    assert store.get("o1").creating_at is None


def test_a_newer_snapshot_of_an_order_keeps_a_begun_payment_on_the_reconcilers_list(mongo):
    store = PaymentStore(mongo)
    payment = begun(store, an_order("o1", 1, "complete"))
    payment.stripe_id, payment.status = "pi_1", "captured"
    payment.mark_changed(NOON)
    store.save(payment)
    store.apply_order(an_order("o1", 2, "cancelled"))

    store.update_work_left(payment)  # by somebody who read it before

    assert mongo.payments.find_one({"_id": "o1"})["work_left"] is True


def test_the_payment_of_a_payment_intent_is_found_without_reading_others(mongo):
    migrate(mongo, PaymentStore.schema)
    store = PaymentStore(mongo)
    mongo.payments.insert_many([{"_id": f"x{number}", "stripe_id": f"pi_{number}"} for number in range(10)])
    payment = begun(store, an_order("o1", 1, "created"))
    mongo.payments.update_one({"_id": "o1"}, {"$set": {"stripe_id": "pi_o1"}})

    with commands_on(mongo) as commands:
        found = store.find_by_stripe_id("pi_o1")

    assert found.order == payment.order
    assert [(each["keysExamined"], each["docsExamined"]) for each in commands] == [(1, 1)]


def test_an_audit_reads_only_ids_of_the_newest_payments_in_batches(mongo, monkeypatch):
    monkeypatch.setattr("payments.store.READ_AT_ONCE", 2)
    store = PaymentStore(mongo)
    migrate(mongo, store.schema)
    for number in range(3):
        begun(store, an_order(f"o{number}", 1, "created"))
        mongo.payments.update_one({"_id": f"o{number}"}, {"$set": {"stripe_id": f"pi_{number}"}})

    with commands_on(mongo) as commands:
        found = set(store.list_intents(NOON))

    assert found == {"pi_0", "pi_1", "pi_2"}
    assert [each["nreturned"] for each in commands] == [2, 1]
    assert commands[0]["command"]["projection"] == {"stripe_id": 1}
    assert "COLLSCAN" not in commands[0]["planSummary"]
