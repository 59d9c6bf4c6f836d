from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from libs.contracts.events import CATALOGUE
from payments import store
from payments.audit import WINDOW, last_occurrence
from payments.errors import StripeUnavailable
from payments.service import AUDIT_SECONDS, PaymentsService
from tests.money.buyer import confirm, paid_in_the_browser
from tests.money.scenarios import deliver_all

STRANGER = {"amount": 1999, "currency": "usd", "automatic_payment_methods": {"enabled": True}}


def names(report):
    return [alarm["name"] for alarm in report.alarms]


def test_what_is_as_it_should_be_raises_nothing(world):
    world.bought()
    world.reserve()

    report = world.audit.run()

    assert (report.compared, report.settled, report.alarms) == (1, [], [])


def test_an_authorization_without_any_webhook_is_settled(world, fake):
    order_id = paid_in_the_browser(world, fake)

    report = world.audit.run()

    assert (report.settled, report.alarms) == ([order_id], [])
    assert world.payment(order_id).status == "authorized"


def test_an_intent_for_an_order_of_which_we_created_none_raises_an_alarm(world, fake):
    order_id = world.reserve()
    fake.client().v1.payment_intents.create({**STRANGER, "metadata": {"order_id": order_id}})

    report = world.audit.run()

    assert names(report) == ["unknown_intent"]
    assert world.store.counts()["alarms_unknown_intent"] == 1


def test_nobody_is_told_to_refund_what_another_shop_on_the_same_account_has_sold(world, fake):
    fake.client().v1.payment_intents.create({**STRANGER, "metadata": {"order_id": "1234"}})

    [alarm] = world.audit.run().alarms

    assert "may be another system's" in alarm["sentence"]


def test_an_intent_that_is_not_ours_is_left_alone(world, fake):
    fake.client().v1.payment_intents.create(STRANGER)

    assert world.audit.run().alarms == []


def test_an_intent_whose_id_a_crash_lost_is_adopted(world, fake, monkeypatch):
    order_id = world.reserve()
    payment = world.payment(order_id)
    payment.creating_at = world.now()
    payment.mark_changed(world.now())
    world.store.save(payment)
    lost = world.settlement.cards.create(payment.order)

    report = world.audit.run()

    assert (world.payment(order_id).stripe_id, report.alarms) == (lost.id, [])


def test_what_was_captured_in_part_by_hand_raises_an_alarm(world, fake):
    order_id = paid_in_the_browser(world, fake)
    stripe_id = world.payment(order_id).stripe_id
    fake.client().v1.payment_intents.capture(stripe_id, {"amount_to_capture": 500})

    assert "wrong_amount" in names(world.audit.run())


def test_money_that_was_taken_without_a_complete_order_raises_an_alarm(world, fake):
    order_id = paid_in_the_browser(world, fake)
    fake.client().v1.payment_intents.capture(world.payment(order_id).stripe_id)
    world.settlement.settle(order_id)
    world.ahead += timedelta(minutes=6)

    assert names(world.audit.run()) == ["captured_without_order"]


def test_a_payment_that_stripe_does_not_know_raises_an_alarm(world, fake):
    world.bought()
    fake.control("reset")

    assert names(world.audit.run()) == ["missing_at_stripe"]


def test_an_audit_of_a_busy_night_loads_no_payment_again_that_it_has_compared(world, monkeypatch):
    """It loaded those of two days at once: 50,000 took two seconds in which the service answered nothing."""
    for _ in range(3):
        world.bought()
    load, loaded = store._payment, []
    monkeypatch.setattr(store, "_payment", lambda found: loaded.append(found["id"]) or load(found))

    report = world.audit.run()

    assert (report.compared, len(loaded)) == (3, 3)


def test_a_payment_with_an_unexpected_stripe_error_keeps_no_other_from_being_compared(world, fake):
    odd, other = world.reserve(), world.bought()
    confirm(world, fake, odd)
    world.cancel(odd)
    world.store.apply_order(CATALOGUE["OrderCancelled"].load(world.order(odd).snapshot()))
    world.refund_at_stripe(other)
    fake.control(
        "faults", kind="error", path="*/cancel", status=400, type="invalid_request_error", code="odd", count=None
    )

    assert names(world.audit.run()) == ["unexpected_stripe_error"]

    assert world.payment(other).status == "refunded"


def test_several_instances_run_one_audit_a_night(world):
    first, second = world.audit.run_if_due(), world.audit.run_if_due()
    world.ahead += timedelta(days=1)

    assert (first is None, second, world.audit.run_if_due() is None) == (False, None, False)


def test_an_audit_that_failed_is_run_again(world, fake, caplog):
    fake.control("faults", kind="error", path="/v1/payment_intents", status=503)

    assert world.audit.run_if_due() is None
    assert "ALARM audit_failed" in caplog.text
    assert world.audit.run_if_due() is not None


def test_a_night_begins_at_three():
    assert last_occurrence(3, datetime(2026, 11, 22, 2, 59, tzinfo=UTC)) == datetime(2026, 11, 21, 3, tzinfo=UTC)
    assert last_occurrence(3, datetime(2026, 11, 22, 3, 0, tzinfo=UTC)) == datetime(2026, 11, 22, 3, tzinfo=UTC)


def test_a_dispute_that_was_closed_without_any_webhook_is_settled(world, fake):
    order_id = world.bought()
    dispute = fake.control("disputes", payment_intent=world.payment(order_id).stripe_id)
    world.settlement.settle(order_id)
    fake.control("disputes", dispute=dispute["id"], status="lost")
    world.ahead += timedelta(days=30)

    report = world.audit.run()
    deliver_all(world)

    assert report.settled == [order_id]
    assert world.order(order_id).refunded_at is not None


@pytest.mark.parametrize(("kind", "status"), [("refunds", "refunded"), ("disputes", "captured")])
def test_a_refund_or_dispute_of_an_old_payment_without_any_webhook_is_settled(world, fake, monkeypatch, kind, status):
    order_id = world.bought()
    world.ahead += WINDOW + timedelta(hours=1)
    monkeypatch.setattr(f"dev.fake_stripe.{kind}.now", lambda: int(world.now().timestamp()))
    fake.control(kind, payment_intent=world.payment(order_id).stripe_id)

    report = world.audit.run()

    assert (report.compared, report.settled) == (0, [order_id])
    assert world.payment(order_id).status == status
    assert bool(world.payment(order_id).dispute) == (kind == "disputes")


def test_a_refund_at_stripe_is_found_even_if_no_audit_ran_for_days_after_it(world, fake, monkeypatch):
    order_id = world.bought()
    monkeypatch.setattr("dev.fake_stripe.refunds.now", lambda: int(world.now().timestamp()))
    world.ahead += WINDOW
    world.audit.run_if_due()
    world.ahead += timedelta(hours=5)
    world.refund_at_stripe(order_id)
    world.ahead += timedelta(days=3)
    fake.control("faults", kind="error", path="/v1/refunds", status=503)
    world.audit.run_if_due()

    report = world.audit.run_if_due()

    assert report.settled == [order_id]
    assert world.payment(order_id).status == "refunded"


def test_a_refund_that_failed_long_after_it_was_made_is_found_without_a_webhook(world, fake, monkeypatch):
    order_id = world.bought()
    refund = world.refund_at_stripe(order_id)
    world.settlement.settle(order_id)
    world.ahead += timedelta(days=5)
    monkeypatch.setattr("dev.fake_stripe.events.now", lambda: int(world.now().timestamp()))
    fake.control("refunds", refund=refund["id"], status="failed")

    report = world.audit.run()

    assert report.settled == [order_id]
    assert world.store.counts()["alarms_refund_failed"] == 1


def test_the_timer_of_the_service_runs_the_audit_that_is_due_and_no_other(world, fake):
    order_ids = [paid_in_the_browser(world, fake) for _ in range(2)]
    service = PaymentsService()
    service.money = SimpleNamespace(audit=world.audit)
    [timer] = PaymentsService.audit_nightly.nameko_entrypoints

    service.audit_nightly()
    settled = [world.payment(order_id).status for order_id in order_ids]
    unnoticed = paid_in_the_browser(world, fake)
    service.audit_nightly()

    assert (settled, timer.interval) == (["authorized"] * 2, AUDIT_SECONDS)
    assert world.payment(unnoticed).status == "open"


def test_while_stripe_is_unreachable_the_reconciler_raises_one_alarm_and_stops(world, fake, caplog):
    for _ in range(3):
        paid_in_the_browser(world, fake)
    fake.control("faults", kind="error", path="/v1/*", status=503, count=None)
    world.ahead += timedelta(minutes=2)

    world.reconciler.run()

    assert caplog.text.count("ALARM stripe_unreachable") == 1
    with pytest.raises(StripeUnavailable):
        world.settlement.settle(world.store.take_unfinished(world.now(), *[timedelta(0)] * 2).id)
