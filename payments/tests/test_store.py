from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from libs.events import VersionConflict
from payments.store import PaymentStore

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def an_order(ident, version, status):
    return {"id": ident, "version": version, "status": status, "buyer_id": "bo", "price_cents": 1999, "currency": "usd"}


def test_two_first_snapshots_at_the_same_moment_end_in_the_newer(mongo):
    store, gate = PaymentStore(mongo), Barrier(2)

    def follow(order):
        gate.wait(10)
        store.follow(order, NOON)

    with ThreadPoolExecutor(2) as pool:
        for number in range(100):
            list(pool.map(follow, [an_order(f"o{number}", 1, "created"), an_order(f"o{number}", 2, "cancelled")]))

    assert {store.get(f"o{number}").order["status"] for number in range(100)} == {"cancelled"}


def test_an_older_or_equal_snapshot_changes_nothing(mongo):
    store = PaymentStore(mongo)

    store.follow(an_order("o1", 2, "cancelled"), NOON)
    store.follow(an_order("o1", 1, "created"), NOON)
    store.follow(an_order("o1", 2, "complete"), NOON)

    assert store.get("o1").order == an_order("o1", 2, "cancelled")


def test_only_a_payment_that_somebody_has_begun_may_have_something_to_settle(mongo):
    store = PaymentStore(mongo)
    unpaid = [store.follow(an_order("o1", version, "created"), NOON) for version in (1, 2)]
    unpaid.append(store.follow(an_order("o2", 2, "created"), NOON))

    payment = store.get("o1")
    payment.creating_at = NOON
    payment.mark_changed(NOON)
    store.save(payment)

    assert unpaid == [False, False, False]
    assert store.follow(an_order("o1", 3, "cancelled"), NOON) is True
    assert store.follow(an_order("o1", 3, "cancelled"), NOON) is True  # whoever kept it may have died before settling


def test_a_payment_that_was_read_with_an_older_copy_of_its_order_cannot_be_saved(mongo):
    store = PaymentStore(mongo)
    store.follow(an_order("o1", 1, "created"), NOON)
    payment = store.get("o1")
    store.follow(an_order("o1", 2, "cancelled"), NOON)

    payment.creating_at = NOON
    payment.mark_changed(NOON)
    with pytest.raises(VersionConflict):
        store.save(payment)

    assert store.get("o1").creating_at is None


def test_a_newer_snapshot_of_an_order_keeps_a_begun_payment_on_the_reconcilers_list(mongo):
    store = PaymentStore(mongo)
    store.follow(an_order("o1", 1, "created"), NOON)
    payment = store.get("o1")
    payment.stripe_id, payment.status = "pi_1", "cancelled"
    payment.mark_changed(NOON)
    store.save(payment)
    store.follow(an_order("o1", 2, "cancelled"), NOON)

    store.update_work_left(payment)  # by somebody who read it before

    assert mongo.payments.find_one({"_id": "o1"})["work_left"] is True
