import pytest

from libs.contracts.errors import NotOwner
from libs.contracts.events import PaymentCreated
from payments import errors
from payments.tests.builders import NOON, a_payment


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
    with pytest.raises(NotOwner):
        a_payment().check_payable("cy")
    with pytest.raises(errors.OrderCancelled):
        a_payment("cancelled").check_payable("bo")
    with pytest.raises(errors.OrderCancelled):  # orders does not know of the third decline yet
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


def test_every_request_for_a_refund_is_kept():
    payment = a_payment("complete", status="captured")
    for who in ("olga", "pim", "pim"):
        payment.request_refund(who, "called off", NOON)
        payment.refund_failed_at = NOON

    assert [asked["by"] for asked in payment.earlier_refunds] == ["olga", "pim"]
    assert payment.refund == {"by": "pim", "reason": "called off", "at": NOON}
    assert not {"refund", "earlier_refunds"} & payment.snapshot().keys()


def test_who_asks_for_a_refund_again_changes_nothing_and_anybody_else_reads_who_asked_first():
    payment = a_payment("complete", status="captured")
    assert payment.request_refund("olga", "called off", NOON)
    version = payment.version

    assert not payment.request_refund("olga", "once more", NOON)
    with pytest.raises(
        errors.AlreadyRefunded, match="olga asked for this refund at 2026-11-22 12:00 UTC: called off"
    ) as refusal:
        payment.request_refund("pim", "called off", NOON)

    details = {"by": "olga", "at": NOON.isoformat(), "reason": "called off"}
    assert (refusal.value.details, payment.version) == (details, version)


def test_who_asks_for_a_refund_that_was_made_at_stripe_reads_so():
    payment = a_payment("complete", status="refunded")

    with pytest.raises(errors.AlreadyRefunded, match="at Stripe"):
        payment.request_refund("olga", "called off", NOON)


def test_events_declare_every_field_of_a_payment():
    assert a_payment().snapshot().keys() == PaymentCreated.schema.fields.keys()
