from datetime import timedelta

import pytest

from payments.decisions import Step, decide
from payments.intent import PaymentIntent
from payments.recording import record
from payments.tests.builders import NOON, a_dispute, a_payment, an_intent


def test_nothing_is_to_be_done_before_anybody_pays():
    assert decide(a_payment(), None, NOON) is Step.WAIT


def test_an_intent_that_was_being_created_is_searched_for():
    assert decide(a_payment("cancelled", creating_at=NOON), None, NOON) is Step.FIND_OR_CREATE


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


def test_a_capture_refused_nine_times_in_less_than_ten_minutes_is_tried_again():
    payment = a_payment("awaiting_payment")
    for seconds in range(9):
        payment.count_refused_capture(NOON + timedelta(seconds=seconds))

    assert decide(payment, an_intent("requires_capture"), NOON + timedelta(seconds=599)) is Step.CAPTURE
    assert decide(payment, an_intent("requires_capture"), NOON + timedelta(seconds=600)) is Step.CANCEL


def test_a_processing_intent_is_waited_for():
    assert decide(a_payment("cancelled"), an_intent("processing"), NOON) is Step.WAIT


@pytest.mark.parametrize(
    ("amount", "currency", "order_id"), [(100, "usd", "o1"), (1999, "eur", "o1"), (1999, "usd", "o2")]
)
def test_what_is_not_for_the_orders_amount_is_cancelled(amount, currency, order_id):
    other = PaymentIntent("pi_1", "requires_capture", "secret", amount, currency, order_id)

    assert decide(a_payment("awaiting_payment"), other, NOON) is Step.CANCEL


def test_an_intent_that_names_no_order_belongs_to_the_one_that_has_it():
    nameless = PaymentIntent("pi_1", "requires_capture", "secret", 1999, "usd", None)

    assert decide(a_payment("awaiting_payment"), nameless, NOON) is Step.CAPTURE


@pytest.mark.parametrize(
    ("status", "is_refundable", "step"),
    [
        ("needs_response", False, Step.RECORD),
        ("lost", False, Step.RECORD),
        ("won", False, Step.RECORD),
        ("won", True, Step.REFUND),
        ("warning_needs_response", True, Step.REFUND),
    ],
)
def test_a_disputed_charge_is_refunded_only_if_stripe_lets_us(status, is_refundable, step):
    dispute = a_dispute(status, is_refundable)

    assert decide(a_payment("cancelled"), an_intent("succeeded", dispute=dispute), NOON) is step


def test_a_pending_refund_is_not_made_again_and_is_work_until_it_ends():
    payment = a_payment("complete", stripe_id="pi_1", status="captured")
    payment.request_refund("operator", "called off", NOON)
    pending = an_intent("succeeded", refunding_cents=1999)

    assert decide(payment, pending, NOON) is Step.RECORD
    assert (record(payment, pending, NOON), payment.status, payment.has_work_left) == ("", "captured", True)


def test_a_refund_that_failed_is_left_to_an_operator_once():
    payment, failed = a_payment("cancelled", status="captured"), an_intent("succeeded", failed_refunds=1)

    assert decide(payment, failed, NOON) is Step.RECORD
    record(payment, failed, NOON)
    assert decide(payment, failed, NOON) is Step.RECORD
    payment.request_refund("operator", "once more", NOON)
    assert decide(payment, failed, NOON) is Step.REFUND


def test_a_capture_of_another_amount_or_currency_completes_nothing():
    other = [PaymentIntent("pi_1", "succeeded", "secret", *about, "o1") for about in ((100, "usd"), (1999, "eur"))]

    assert [decide(a_payment("awaiting_payment"), intent, NOON) for intent in other] == [Step.REFUND] * 2


def test_a_requested_refund_is_work_until_it_is_made():
    payment = a_payment("complete", stripe_id="pi_1", status="captured")
    payment.request_refund("operator", "called off", NOON)

    assert payment.has_work_left
    assert decide(payment, an_intent("succeeded"), NOON) is Step.REFUND
    record(payment, an_intent("succeeded", refunded_cents=1999), NOON)
    assert not payment.has_work_left
