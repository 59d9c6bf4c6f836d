from datetime import UTC, datetime, timedelta

import pytest

from payments import domain
from payments.declines import declined
from payments.domain import Intent, Step, decide

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def an_order(status="created"):
    return {"id": "o1", "version": 1, "status": status, "buyer_id": "bo", "price_cents": 1999, "currency": "usd"}


def a_payment(order_status="created", **changes):
    payment = domain.opened(an_order(order_status), NOON)
    for name, value in changes.items():
        setattr(payment, name, value)
    return payment


def an_intent(status, **facts):
    return Intent("pi_1", status, "secret", 1999, "usd", "o1", **facts)


def test_nothing_is_to_be_done_before_anybody_pays():
    assert decide(a_payment(), None, NOON) is Step.REST


def test_an_intent_that_was_being_made_is_looked_for():
    assert decide(a_payment("cancelled", creating_at=NOON), None, NOON) is Step.FIND


@pytest.mark.parametrize(
    "status", ["requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"]
)
def test_what_is_not_captured_is_voided_when_the_order_was_cancelled(status):
    assert decide(a_payment("cancelled"), an_intent(status), NOON) is Step.CANCEL


def test_what_was_captured_is_refunded_once_when_the_order_was_cancelled():
    payment = a_payment("cancelled", status="captured")

    assert decide(payment, an_intent("succeeded"), NOON) is Step.REFUND
    assert decide(payment, an_intent("succeeded", refunded_cents=1999), NOON) is Step.RECORD


@pytest.mark.parametrize("order_status", ["created", "awaiting_payment", "complete"])
def test_nothing_is_refunded_merely_because_the_copy_is_not_complete(order_status):
    assert decide(a_payment(order_status), an_intent("succeeded"), NOON) is Step.RECORD


def test_an_authorization_is_captured_only_when_orders_awaits_it():
    assert decide(a_payment("created"), an_intent("requires_capture"), NOON) is Step.RECORD
    assert decide(a_payment("awaiting_payment"), an_intent("requires_capture"), NOON) is Step.CAPTURE


def test_the_third_declined_card_ends_the_payment():
    assert decide(a_payment(), an_intent("requires_payment_method", declines=2), NOON) is Step.RECORD
    assert decide(a_payment(), an_intent("requires_payment_method", declines=3), NOON) is Step.CANCEL


@pytest.mark.parametrize(
    "refused",
    [
        {"capture_tries": 10, "capture_refused_at": NOON},
        {"capture_tries": 1, "capture_refused_at": NOON - timedelta(minutes=10)},
    ],
)
def test_a_capture_refused_for_too_long_is_given_up(refused):
    assert decide(a_payment("awaiting_payment", **refused), an_intent("requires_capture"), NOON) is Step.CANCEL


def test_processing_is_waited_for():
    assert decide(a_payment("cancelled"), an_intent("processing"), NOON) is Step.REST


def test_a_decline_is_counted_and_told_but_not_final():
    payment = a_payment()

    event = payment.record(an_intent("requires_payment_method", declines=1, decline_code="expired_card"), NOON)

    assert (event, payment.declines, payment.public()["final"]) == ("PaymentFailed", 1, False)
    assert str(declined(payment)).startswith("Your card has expired")
    assert declined(payment).details == {"decline_code": "expired_card", "remaining": 2}


def test_only_a_cancelled_intent_is_a_final_failure():
    payment = a_payment()

    event = payment.record(an_intent("canceled", declines=3), NOON)

    assert (event, payment.public()["final"]) == ("PaymentFailed", True)


@pytest.mark.parametrize(
    ("intent", "event", "status"),
    [
        (an_intent("requires_capture"), "PaymentAuthorized", "authorized"),
        (an_intent("succeeded"), "PaymentCreated", "captured"),
        (an_intent("succeeded", refunded_cents=1999), "PaymentRefunded", "refunded"),
    ],
)
def test_each_state_is_told_once(intent, event, status):
    payment = a_payment()

    assert payment.record(intent, NOON) == event
    assert (payment.status, payment.version) == (status, 2)
    assert payment.record(intent, NOON) is None


def test_a_captured_payment_is_done_only_once_its_order_is_complete():
    assert a_payment("awaiting_payment", stripe_id="pi_1", status="captured").has_work_left
    assert not a_payment("complete", stripe_id="pi_1", status="captured").has_work_left


def test_somebody_elses_or_a_cancelled_order_cannot_be_paid():
    with pytest.raises(domain.NotOwner):
        a_payment().check_payable("cy")
    with pytest.raises(domain.OrderCancelled):
        a_payment("cancelled").check_payable("bo")
