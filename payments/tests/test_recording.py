from datetime import timedelta

import pytest

from payments.decisions import Step, decide
from payments.declines import decline_error
from payments.recording import record
from payments.tests.builders import NOON, a_dispute, a_payment, an_intent


def test_a_decline_is_counted_and_published_but_not_final():
    payment = a_payment()

    event = record(payment, an_intent("requires_payment_method", declines=1, decline_code="expired_card"), NOON)

    assert (event, payment.declines, payment.snapshot()["final"]) == ("PaymentFailed", 1, False)
    assert str(decline_error(payment)).startswith("Your card has expired")
    assert decline_error(payment).details == {"decline_code": "expired_card", "remaining": 2}
    assert payment.snapshot()["remaining"] == 2


def test_only_a_cancelled_intent_is_a_final_failure():
    payment = a_payment()

    event = record(payment, an_intent("canceled", declines=3), NOON)

    assert (event, payment.snapshot()["final"]) == ("PaymentFailed", True)


@pytest.mark.parametrize(
    ("intent", "event", "status"),
    [
        (an_intent("requires_capture"), "PaymentAuthorized", "authorized"),
        (an_intent("succeeded"), "PaymentCreated", "captured"),
        (an_intent("succeeded", refunded_cents=1999), "PaymentRefunded", "refunded"),
    ],
)
def test_each_state_is_published_once(intent, event, status):
    payment = a_payment()

    assert record(payment, intent, NOON) == event
    assert (payment.status, payment.version) == (status, 2)
    assert record(payment, intent, NOON) is None


def test_the_time_of_the_capture_outlives_a_refund_and_its_failure():
    payment = a_payment()
    record(payment, an_intent("succeeded"), NOON)

    record(payment, an_intent("succeeded", refunded_cents=1999), NOON + timedelta(days=1))

    assert (payment.status, payment.snapshot()["captured_at"]) == ("refunded", NOON)
    record(payment, an_intent("succeeded", failed_refunds=1), NOON + timedelta(days=2))
    assert (payment.status, payment.snapshot()["captured_at"]) == ("captured", NOON)


def test_the_card_and_the_time_of_its_refund_are_shown():
    payment, card = a_payment(), {"card_brand": "visa", "card_last4": "4242"}
    record(payment, an_intent("succeeded", **card), NOON)
    record(payment, an_intent("succeeded", **card, refunded_cents=1999), NOON + timedelta(days=1))
    record(payment, an_intent("succeeded", **card, refunded_cents=1999), NOON + timedelta(days=2))

    shown = payment.snapshot()

    assert (shown["card_brand"], shown["card_last4"]) == ("visa", "4242")
    assert shown["refunded_at"] == shown["updated_at"] == NOON + timedelta(days=1)


def test_a_card_is_the_same_attempt_until_its_outcome_is_known():
    payment = a_payment()
    payment.begin_attempt(NOON)
    record(payment, an_intent("requires_payment_method"), NOON)
    payment.begin_attempt(NOON)
    assert (payment.attempt_key, payment.snapshot()["is_confirming"]) == ("o1:1", True)

    record(payment, an_intent("requires_payment_method"), NOON, answered=1)
    assert not payment.snapshot()["is_confirming"]
    payment.begin_attempt(NOON)

    assert payment.attempt_key == "o1:2"


@pytest.mark.parametrize(
    ("intent", "later", "is_confirming"),
    [
        (an_intent("requires_payment_method"), timedelta(seconds=89), True),
        (an_intent("requires_payment_method"), timedelta(seconds=90), False),
        (an_intent("requires_payment_method", declines=1), timedelta(0), False),
        (an_intent("requires_action"), timedelta(0), True),
        (an_intent("requires_capture"), timedelta(0), False),
        (an_intent("succeeded"), timedelta(0), False),
        (an_intent("canceled"), timedelta(0), False),
        (an_intent("processing"), timedelta(hours=1), True),
    ],
)
def test_a_payment_is_confirming_until_its_outcome_is_known(intent, later, is_confirming):
    payment = a_payment()
    payment.begin_attempt(NOON)

    record(payment, intent, NOON + later)

    assert payment.snapshot()["is_confirming"] is is_confirming


@pytest.mark.parametrize(
    ("intent", "is_confirming"),
    [
        (an_intent("requires_action", last_payment_method="pm_2"), False),
        (an_intent("requires_payment_method", last_payment_method="pm_2"), False),
        (an_intent("requires_confirmation", last_payment_method="pm_2"), True),
        (an_intent("requires_action", last_payment_method="pm_1"), True),  # still the challenge of the attempt before
        (an_intent("requires_payment_method"), True),
    ],
)
def test_an_attempt_ends_once_stripe_shows_its_card(intent, is_confirming):
    payment = a_payment()
    payment.begin_attempt(NOON, last_payment_method="pm_1")

    record(payment, intent, NOON)

    assert payment.snapshot()["is_confirming"] is is_confirming


def test_of_two_attempts_in_flight_one_says_nothing_about_the_other():
    payment = a_payment()
    payment.begin_attempt(NOON, last_payment_method="")
    payment.begin_attempt(NOON, last_payment_method="")

    record(payment, an_intent("requires_action", last_payment_method="pm_1"), NOON)

    assert payment.snapshot()["is_confirming"]


def test_the_outcome_of_an_earlier_attempt_does_not_end_the_next():
    payment = a_payment(attempts=1, declines=1)
    payment.begin_attempt(NOON)

    record(payment, an_intent("requires_payment_method", declines=1), NOON, answered=1)

    assert payment.confirming_at == NOON


def test_a_partial_refund_is_published_and_the_payment_stays_captured():
    payment = a_payment("complete", status="captured")

    event = record(payment, an_intent("succeeded", refunded_cents=500), NOON)

    assert (event, payment.status, payment.snapshot()["refunded_cents"]) == ("PaymentRefunded", "captured", 500)


@pytest.mark.parametrize(
    ("status", "event"),
    [("needs_response", ""), ("won", ""), ("warning_closed", ""), ("lost", "PaymentRefunded")],
)
def test_only_a_lost_dispute_is_published_as_a_refund(status, event):
    payment = a_payment("complete", status="captured")

    assert record(payment, an_intent("succeeded", dispute=a_dispute(status)), NOON) == event


@pytest.mark.parametrize("order_status", ["created", "awaiting_payment"])
def test_a_partial_capture_is_refunded_and_ends_the_order(order_status):
    payment = a_payment(order_status, stripe_id="pi_1", status="authorized")

    assert decide(payment, an_intent("succeeded", captured_cents=500), NOON) is Step.REFUND
    pending = an_intent("succeeded", captured_cents=500, refunding_cents=500)
    assert (decide(payment, pending, NOON), record(payment, pending, NOON)) == (Step.RECORD, "")
    assert (payment.status, payment.has_work_left) == ("authorized", True)
    assert record(payment, an_intent("succeeded", captured_cents=500, refunded_cents=500), NOON) == "PaymentFailed"
    assert (payment.status, payment.snapshot()["final"]) == ("cancelled", True)


def test_a_complete_order_is_not_undone_by_the_amount_captured():
    payment = a_payment("complete", status="captured")

    assert decide(payment, an_intent("succeeded", captured_cents=500), NOON) is Step.RECORD
    assert record(payment, an_intent("succeeded", captured_cents=500), NOON) is None


@pytest.mark.parametrize("state", ["requested", "abandoned"])
def test_a_partial_refund_that_stripe_has_made_after_all_is_saved_as_created_though_the_amounts_were_known(state):
    about = {"id": "r1", "amount_cents": 500, "by": "olga", "reason": "a seat was broken", "at": NOON, "state": state}
    payment = a_payment("complete", status="captured", refunded_cents=500, refunded_at=NOON, partial_refunds=[about])

    refunded = an_intent("succeeded", refunded_cents=500, refund_ids=frozenset({"r1"}))
    record(payment, refunded, NOON)
    version = payment.version

    assert payment.partial_refunds[0]["state"] == "created"
    assert record(payment, refunded, NOON) is None and payment.version == version
    assert version > a_payment().version
