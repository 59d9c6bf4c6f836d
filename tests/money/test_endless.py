"""Endless retries raise alarms, and operators can list them."""

from datetime import timedelta

import pytest

from libs.alarms import ALARM_EVERY
from payments import errors
from payments.card_provider import StripeBusy
from payments.decisions import Step
from tests.money.buyer import confirm, paid_in_the_browser
from tests.money.mutants import deciding
from tests.money.scenarios import Died, before_next, die

ODD = {"kind": "error", "status": 400, "type": "invalid_request_error", "code": "odd", "count": None}
TOO_LITTLE = {
    "kind": "error", "method": "POST", "path": "/v1/payment_intents", "status": 400, "type": "invalid_request_error",
    "code": "amount_too_small", "message": "Amount must convert to at least 50 cents.", "count": None,
}  # fmt: skip
"""How Stripe refuses an amount whose value in the account's own currency is too small."""


def alarms(caplog, name):
    return [record.getMessage() for record in caplog.records if f"ALARM {name}:" in record.getMessage()]


def test_a_webhook_that_can_never_be_settled_raises_an_alarm_and_is_shown_to_operators(world, fake, caplog):
    order_id = paid_in_the_browser(world, fake)
    fake.control("faults", path="/v1/payment_intents/pi_*", **ODD)

    world.reconciler.receive(world.webhook(order_id))
    for _ in range(ALARM_EVERY - 1):
        world.ahead += timedelta(seconds=11)
        world.reconciler.run()

    assert len(alarms(caplog, "webhook_stuck")) == 1
    [shown] = world.store.inbox.list_stuck(10)
    assert (shown["order_id"], shown["failures"]) == (order_id, ALARM_EVERY)
    assert "UnexpectedStripeError" in shown["failure"]


@pytest.mark.parametrize("error", [RuntimeError("it makes no sense"), StripeBusy("locked")])
def test_a_payment_that_can_never_be_settled_raises_an_alarm_and_is_shown_to_operators(
    world, fake, caplog, monkeypatch, error
):
    def fail(order_id):
        raise error

    order_id = paid_in_the_browser(world, fake)
    with monkeypatch.context() as broken:
        broken.setattr(world.settlement, "settle", fail)
        for _ in range(ALARM_EVERY):
            world.ahead += timedelta(seconds=61)
            world.reconciler.run()
    stuck = world.store.list_stuck(10)

    world.ahead += timedelta(seconds=61)
    world.reconciler.run()

    assert len(alarms(caplog, "payment_stuck")) == 1
    assert [(one["order_id"], one["failures"]) for one in stuck] == [(order_id, ALARM_EVERY)]
    assert str(error) in stuck[0]["failure"]
    assert world.store.list_stuck(10) == []
    assert world.payment(order_id).status == "authorized"


def test_a_payment_intent_that_never_changes_whatever_is_asked_is_not_asked_for_ever(world, fake, monkeypatch):
    order_id = world.reserve()
    confirm(world, fake, order_id)
    deciding(lambda payment, intent: Step.CAPTURE if intent else None)(monkeypatch, world)
    before = len(fake.requests())
    world.ahead += timedelta(seconds=61)

    world.reconciler.run()

    assert len(fake.requests()) - before <= 13
    assert world.store.counts()["alarms_unexpected_stripe_error"] == 1


def cancelled(world, order_id):
    """Cancel an order, and let payments hear of it."""
    world.cancel(order_id)
    world.come_to_rest()


def test_a_payment_that_stripe_refuses_to_take_is_not_requested_for_ever(world, fake, caplog):
    order_id = world.reserve()
    fake.control("faults", **TOO_LITTLE)
    with pytest.raises(errors.PaymentRefused):
        world.checkout.open_form(order_id, "bo")
    before = len(fake.requests())

    cancelled(world, order_id)
    world.rest_alone()

    assert len(fake.requests()) == before
    assert len(alarms(caplog, "payment_refused")) == 1
    assert not world.payment(order_id).has_work_left
    assert list(world.faults()) == []


def test_the_reconciler_ends_what_a_dead_worker_began_and_stripe_refuses(world, fake, caplog):
    order_id = world.reserve()
    world.settlement.creation.mark(world.payment(order_id))
    fake.control("faults", **TOO_LITTLE)

    cancelled(world, order_id)
    for _ in range(3):
        world.rest_alone()

    assert [len(alarms(caplog, name)) for name in ("payment_refused", "unexpected_stripe_error")] == [1, 0]
    assert not world.payment(order_id).has_work_left


def test_an_order_that_stripe_takes_no_payment_for_expires(world, fake):
    order_id = world.reserve(seconds=0)
    fake.control("faults", **TOO_LITTLE)
    with pytest.raises(errors.PaymentRefused):
        world.checkout.open_form(order_id, "bo")

    world.come_to_rest()

    assert (world.order(order_id).status, world.order(order_id).cancel_reason) == ("cancelled", "expired")


def test_an_audit_that_was_killed_half_way_is_completed_the_same_night(world, fake):
    order_id = paid_in_the_browser(world, fake)
    before_next(world.settlement, "settle", die)
    with pytest.raises(Died):
        world.audit.run_if_due()

    at_once = world.audit.run_if_due()
    world.ahead += timedelta(minutes=6)
    report = world.audit.run_if_due()

    assert at_once is None  # it may still be running
    assert report is not None and report.settled == [order_id]
    assert world.audit.run_if_due() is None


def test_a_long_audit_is_not_begun_by_a_second_instance(world, fake):
    for _ in range(3):
        paid_in_the_browser(world, fake)
    settle, seconds = world.settlement.settle, []

    def slowly(order_id):
        world.ahead += timedelta(minutes=3)
        seconds.append(world.audit.run_if_due())
        return settle(order_id)

    world.settlement.settle = slowly

    report = world.audit.run_if_due()

    assert report is not None and len(report.settled) == 3
    assert seconds == [None] * 3
