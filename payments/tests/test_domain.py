from datetime import UTC, datetime, timedelta

import pytest

from payments import domain, errors
from payments.decisions import Step, decide
from payments.declines import declined
from payments.intent import PaymentIntent
from payments.recording import record

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def an_order(status="created"):
    return {"id": "o1", "version": 1, "status": status, "buyer_id": "bo", "price_cents": 1999, "currency": "usd"}


def a_payment(order_status="created", **changes):
    payment = domain.Payment.open(an_order(order_status), NOON)
    for name, value in changes.items():
        setattr(payment, name, value)
    return payment


def an_intent(status, **facts):
    return PaymentIntent("pi_1", status, "secret", 1999, "usd", "o1", **facts)


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


def test_a_decline_is_counted_and_published_but_not_final():
    payment = a_payment()

    event = record(payment, an_intent("requires_payment_method", declines=1, decline_code="expired_card"), NOON)

    assert (event, payment.declines, payment.snapshot()["final"]) == ("PaymentFailed", 1, False)
    assert str(declined(payment)).startswith("Your card has expired")
    assert declined(payment).details == {"decline_code": "expired_card", "remaining": 2}
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


def test_a_captured_payment_is_done_only_once_its_order_is_complete():
    assert a_payment("awaiting_payment", stripe_id="pi_1", status="captured").has_work_left
    assert not a_payment("complete", stripe_id="pi_1", status="captured").has_work_left


@pytest.mark.parametrize(
    ("order_status", "facts", "has_work"),
    [
        ("created", {}, False),
        ("cancelled", {"creating_at": NOON}, True),
        ("created", {"stripe_id": "pi_1"}, True),
        ("awaiting_payment", {"stripe_id": "pi_1", "status": "authorized"}, True),
        ("cancelled", {"stripe_id": "pi_1", "status": "cancelled"}, False),
        ("complete", {"stripe_id": "pi_1", "status": "refunded"}, False),
        ("cancelled", {"stripe_id": "pi_1", "status": "captured"}, True),
        ("cancelled", {"stripe_id": "pi_1", "status": "captured", "refund_failed_at": NOON}, False),
        ("cancelled", {"stripe_id": "pi_1", "status": "captured", "dispute": {"status": "lost"}}, False),
        ("cancelled", {"stripe_id": "pi_1", "status": "captured", "dispute": {"status": "won"}}, True),
    ],
)
def test_the_reconciler_visits_what_has_not_ended(order_status, facts, has_work):
    assert a_payment(order_status, **facts).has_work_left is has_work


def test_somebody_elses_or_a_cancelled_order_cannot_be_paid():
    with pytest.raises(errors.NotOwner):
        a_payment().check_payable("cy")
    with pytest.raises(errors.OrderCancelled):
        a_payment("cancelled").check_payable("bo")
    with pytest.raises(errors.OrderCancelled):  # orders has not heard of the third decline yet
        a_payment("created", status="cancelled").check_payable("bo")


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({}, "you have not been charged"),
        ({"stripe_id": "pi_1", "status": "cancelled"}, "you have not been charged"),
        ({"stripe_id": "pi_1", "status": "authorized"}, "you get it back"),
    ],
)
def test_the_error_of_a_cancelled_order_says_whether_anything_may_have_been_charged(facts, sentence):
    assert sentence in str(a_payment("cancelled", **facts).order_cancelled())


def a_dispute(status, is_refundable=False):
    details = {"reason": "fraudulent", "amount_cents": 1999, "is_refundable": is_refundable}
    return {"id": "dp_1", "status": status, **details}


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


@pytest.mark.parametrize(
    ("amount", "currency", "order_id"), [(100, "usd", "o1"), (1999, "eur", "o1"), (1999, "usd", "o2")]
)
def test_what_is_not_for_the_orders_amount_is_cancelled(amount, currency, order_id):
    other = PaymentIntent("pi_1", "requires_capture", "secret", amount, currency, order_id)

    assert decide(a_payment("awaiting_payment"), other, NOON) is Step.CANCEL


def test_an_intent_that_names_no_order_belongs_to_the_one_that_has_it():
    nameless = PaymentIntent("pi_1", "requires_capture", "secret", 1999, "usd", None)

    assert decide(a_payment("awaiting_payment"), nameless, NOON) is Step.CAPTURE


def test_what_is_kept_is_what_was_captured_less_what_was_refunded():
    partly = an_intent("succeeded", captured_cents=500, refunded_cents=200)

    assert (partly.kept_cents, an_intent("succeeded").kept_cents, an_intent("requires_capture").kept_cents) == (
        300,
        1999,
        0,
    )


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

    assert decide(payment, failed, NOON) is Step.GIVE_UP_REFUND
    payment.mark_refund_failed(failed, NOON)
    assert decide(payment, failed, NOON) is Step.RECORD
    payment.request_refund("operator", "once more", NOON)
    assert decide(payment, failed, NOON) is Step.REFUND


def test_every_request_for_a_refund_is_kept():
    payment = a_payment("complete", status="captured")
    for who in ("Olga", "Pim", "Quin"):
        payment.request_refund(who, "called off", NOON)

    assert [asked["by"] for asked in payment.earlier_refunds] == ["Olga", "Pim"]
    assert payment.refund == {"by": "Quin", "reason": "called off", "at": NOON}
    assert not {"refund", "earlier_refunds"} & payment.snapshot().keys()


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


def test_a_capture_of_another_amount_or_currency_completes_nothing():
    other = [PaymentIntent("pi_1", "succeeded", "secret", *about, "o1") for about in ((100, "usd"), (1999, "eur"))]

    assert [decide(a_payment("awaiting_payment"), intent, NOON) for intent in other] == [Step.REFUND] * 2


def test_a_complete_order_is_not_undone_by_the_amount_captured():
    payment = a_payment("complete", status="captured")

    assert decide(payment, an_intent("succeeded", captured_cents=500), NOON) is Step.RECORD
    assert record(payment, an_intent("succeeded", captured_cents=500), NOON) is None


def test_a_requested_refund_is_work_until_it_is_made():
    payment = a_payment("complete", stripe_id="pi_1", status="captured")
    payment.request_refund("operator", "called off", NOON)

    assert payment.has_work_left
    assert decide(payment, an_intent("succeeded"), NOON) is Step.REFUND
    record(payment, an_intent("succeeded", refunded_cents=1999), NOON)
    assert not payment.has_work_left
