import urllib.error
from contextlib import suppress
from datetime import timedelta
from functools import partial
from unittest.mock import Mock

import pytest
import stripe

from dev.testing import wait_for
from libs.events import VersionConflict
from payments import errors
from payments.card_provider import StripeBusy, _refund_totals
from payments.domain import UNDER_WAY_PERIOD
from payments.refunds import LATE_AFTER, list_late_refunds, refund, refund_partially
from tests.money.buyer import paid_in_the_browser
from tests.money.scenarios import before_next


def refunded(world, order_id, reason="the show was called off"):
    return refund(world.settlement, order_id, reason, requested_by="operator")


def test_an_operators_refund_returns_everything_once_and_keeps_the_order(world):
    order_id = world.bought()

    first, second = refunded(world, order_id), refunded(world, order_id, "again")
    with pytest.raises(errors.AlreadyRefunded, match="operator asked for this refund"):
        refund(world.settlement, order_id, "called off", "somebody else")
    world.come_to_rest()

    assert (first["status"], first["refunded_cents"]) == ("refunded", 1999)
    assert (second["refund"]["by"], second["refund"]["reason"]) == ("operator", "the show was called off")
    order = world.order(order_id)
    assert order.status == "complete"
    assert order.refunded_at is not None
    assert list(world.faults()) == []


def test_what_was_not_captured_cannot_be_refunded(world):
    order_id = world.reserve()

    with pytest.raises(errors.NotCaptured):
        refunded(world, order_id)


def test_a_refund_that_another_worker_is_making_has_not_failed(world, monkeypatch):
    order_id, make, tries = world.bought(), world.settlement.cards.refund, []

    def busy_twice(*arguments):
        tries.append(arguments)
        if len(tries) < 3:
            raise StripeBusy("the key is in use")
        return make(*arguments)

    monkeypatch.setattr(world.settlement.cards, "refund", busy_twice)
    answer = refunded(world, order_id)

    assert (answer["status"], answer["has_refund_failed"], len(tries)) == ("refunded", False, 3)
    assert "alarms_refund_failed" not in world.store.counts()


def test_what_was_refunded_at_stripe_is_not_refunded_again_by_an_operator(world):
    order_id = world.bought()
    world.refund_at_stripe(order_id)
    world.settlement.settle(order_id)

    with pytest.raises(errors.AlreadyRefunded, match="at Stripe"):
        refunded(world, order_id)
    world.come_to_rest()

    assert (world.payment(order_id).status, world.payment(order_id).refund) == ("refunded", None)
    assert list(world.faults()) == []


def test_a_refund_needs_a_reason_of_500_characters_at_most(world):
    for reason in ("  ", None, "x" * 501):
        with pytest.raises(errors.ReasonMissing):
            refunded(world, "nobody's", reason)
    for reason in ("x", "x" * 500):
        with pytest.raises(errors.PaymentNotFound):
            refunded(world, "nobody's", reason)


def test_the_request_for_a_refund_that_failed_is_kept_beside_the_next(world, fake):
    order_id = world.bought()
    fake.control("refunds", begin="pending")
    failed = refund(world.settlement, order_id, "called off", "Olga")
    pending = fake.client().v1.refunds.list({"payment_intent": failed["stripe_id"]}).data[0]
    fake.control("refunds", refund=pending.id, status="failed", failure_reason="expired_or_canceled_card")
    world.settlement.settle(order_id)

    again = refund(world.settlement, order_id, "called off, once more", "Pim")

    assert (failed["refund"]["by"], failed["earlier_refunds"]) == ("Olga", [])
    assert again["earlier_refunds"] == [failed["refund"]]
    assert (again["refund"]["by"], again["refund"]["reason"]) == ("Pim", "called off, once more")


def test_a_refund_requested_while_stripe_is_unreachable_is_made_later(world, fake):
    order_id = world.bought()
    fake.control("faults", kind="error", path="/v1/refunds", status=503, count=2, stored=True)

    before = refunded(world, order_id)
    world.come_to_rest()

    assert (before["status"], before["refund"]["by"]) == ("captured", "operator")
    assert world.payment(order_id).status == "refunded"
    assert list(world.faults()) == []


def test_a_refund_that_is_stored_is_promised_though_others_keep_changing_the_payment(world, monkeypatch):
    order_id = world.bought()
    with monkeypatch.context() as busy:
        busy.setattr(world.settlement, "settle", Mock(side_effect=VersionConflict))
        promised = refunded(world, order_id)
    world.come_to_rest()

    assert (promised["status"], promised["refund"]["by"]) == ("captured", "operator")
    assert world.payment(order_id).status == "refunded"


def test_a_refund_that_could_not_be_stored_is_not_promised(world, monkeypatch):
    order_id = world.bought()
    monkeypatch.setattr(world.store, "save", Mock(side_effect=VersionConflict))

    with pytest.raises(VersionConflict):
        refunded(world, order_id)


@pytest.mark.parametrize(
    ("came_first", "status", "is_disputed"), [("refunds", "refunded", False), ("disputes", "captured", True)]
)
def test_a_refund_that_stripe_refuses_because_another_or_a_dispute_came_first_is_no_failure(
    world, fake, came_first, status, is_disputed
):
    order_id = world.bought()
    stripe_id = world.payment(order_id).stripe_id
    before_next(world.settlement.cards, "refund", lambda: fake.control(came_first, payment_intent=stripe_id))

    answer = refunded(world, order_id)

    assert (answer["status"], answer["dispute"] is not None) == (status, is_disputed)


def test_a_refund_made_at_stripe_is_recorded_by_its_webhook(world, webhooks, fake):
    order_id = world.bought()

    world.refund_at_stripe(order_id)

    wait_for(lambda: world.payment(order_id).status == "refunded")
    world.come_to_rest()
    assert world.order(order_id).refunded_at is not None


def test_a_refund_whose_webhook_was_lost_is_found_by_the_audit(world, fake):
    order_id = world.bought()
    world.refund_at_stripe(order_id)

    report = world.audit.run()

    assert (report.settled, report.alarms) == ([order_id], [])
    assert world.payment(order_id).status == "refunded"


def test_a_partial_refund_is_recorded_and_leaves_the_order_paid(world, fake):
    order_id = world.bought()
    world.refund_at_stripe(order_id, amount=500)

    payment, _ = world.settlement.settle(order_id)
    world.come_to_rest()

    assert (payment.status, payment.refunded_cents) == ("captured", 500)
    assert world.order(order_id).refunded_at is None


def is_refunded(world, order_id, cents):
    return world.payment(order_id).refunded_cents == cents


def test_partial_refunds_reach_the_order_by_their_webhooks_until_all_is_refunded(world, webhooks, fake):
    order_id = world.bought()
    stripe_id = world.payment(order_id).stripe_id

    for amount, in_all in ((500, 500), (400, 900), (1099, 1999)):
        fake.control("refunds", payment_intent=stripe_id, amount=amount)
        wait_for(partial(is_refunded, world, order_id, in_all))
        world.come_to_rest()
        assert world.order(order_id).snapshot()["refunded_cents"] == in_all

    assert world.payment(order_id).status == "refunded"
    assert world.order(order_id).refunded_at is not None


def test_the_rest_of_a_partly_refunded_charge_can_be_refunded(world, fake):
    order_id = world.bought()
    world.refund_at_stripe(order_id, amount=500)

    assert refunded(world, order_id)["refunded_cents"] == 1999


def test_a_dispute_is_shown_and_refuses_a_refund(world, fake):
    order_id = world.bought()
    fake.control("disputes", payment_intent=world.payment(order_id).stripe_id)

    world.settlement.settle(order_id)
    shown = world.checkout.refresh(order_id, "bo")

    assert shown["dispute"] | {"id": ""} == {
        "id": "", "status": "needs_response", "reason": "fraudulent", "amount_cents": 1999, "is_refundable": False,
        "lost_cents": 0,
    }  # fmt: skip
    with pytest.raises(errors.ChargeDisputed):
        refunded(world, order_id)


@pytest.mark.parametrize("end", ["under_review", "lost", "won"])
def test_an_operator_is_told_to_answer_a_dispute_only_while_it_needs_an_answer(world, fake, end):
    order_id = world.bought()
    dispute = fake.control("disputes", payment_intent=world.payment(order_id).stripe_id, amount=500)
    fake.control("disputes", dispute=dispute["id"], status=end)
    world.settlement.settle(order_id)

    with pytest.raises(errors.ChargeDisputed, match=rf"a dispute \({end}\), so Stripe refuses a refund\.$"):
        refunded(world, order_id)


def test_of_a_lost_partial_dispute_only_its_amount_counts(world, fake):
    order_id = world.bought()
    dispute = fake.control("disputes", payment_intent=world.payment(order_id).stripe_id, amount=500)
    fake.control("disputes", dispute=dispute["id"], status="lost")

    world.settlement.settle(order_id)
    world.rest_alone()

    assert (world.order(order_id).refunded_cents, world.order(order_id).refunded_at) == (500, None)


@pytest.mark.parametrize(("outcome", "is_refunded"), [("lost", True), ("won", False)])
def test_only_a_lost_dispute_marks_the_order_refunded(world, webhooks, fake, outcome, is_refunded):
    order_id = world.bought()
    dispute = fake.control("disputes", payment_intent=world.payment(order_id).stripe_id)

    fake.control("disputes", dispute=dispute["id"], status=outcome)

    wait_for(lambda: (world.payment(order_id).dispute or {}).get("status") == outcome)
    world.come_to_rest()
    order = world.order(order_id)
    assert (order.status, order.refunded_at is not None) == ("complete", is_refunded)


def test_a_captured_charge_that_is_disputed_is_not_refunded_in_a_loop(world, fake):
    order_id = world.reserve()
    world.pay(order_id)
    world.change(order_id, lambda order: order.apply_payment(authorized(world, order_id), world.now()))
    world.store.apply_order(world.order(order_id).snapshot())
    payment, _ = world.settlement.settle(order_id)
    fake.control("disputes", payment_intent=payment.stripe_id)
    world.change(order_id, lambda order: order.give_up(world.now()))
    world.store.apply_order(world.order(order_id).snapshot())

    settled, _ = world.settlement.settle(order_id)

    assert (settled.status, settled.dispute["status"]) == ("captured", "needs_response")


def authorized(world, order_id):
    return {**world.payment(order_id).snapshot(), "status": "authorized"}


def test_more_than_was_paid_cannot_be_refunded_at_stripe(world, fake):
    order_id = world.bought()

    with pytest.raises(urllib.error.HTTPError):
        world.refund_at_stripe(order_id, amount=5000)


def test_a_refund_without_effect_is_left_to_an_operator(world, caplog, monkeypatch):
    order_id = world.bought()
    asked = []
    monkeypatch.setattr(world.settlement.cards, "refund", lambda *about: asked.append(about))

    refund(world.settlement, order_id, "the show was cancelled", "operator")
    for _ in range(3):
        world.ahead += timedelta(hours=25)
        world.reconciler.run()

    assert len(asked) == 1
    assert caplog.text.count("ALARM refund_failed") == 1
    monkeypatch.undo()
    assert refund(world.settlement, order_id, "once more", "operator")["status"] == "refunded"
    assert [len(charge["refunds"]) for charge in world.fake.ledger(order_id)[0]["charges"]] == [1]


def test_a_refund_is_pending_until_stripe_reports_it_done(world, webhooks, fake):
    order_id = world.bought()
    fake.control("refunds", begin="pending")

    requested = refunded(world, order_id)
    pending = fake.client().v1.refunds.list({"payment_intent": requested["stripe_id"]}).data[0]
    world.ahead += timedelta(days=2)
    world.reconciler.run()
    waiting, again = world.payment(order_id).snapshot(), refunded(world, order_id, "again")
    fake.control("refunds", refund=pending.id, status="succeeded")

    assert (waiting["status"], waiting["refunded_cents"], waiting["refunding_cents"]) == ("captured", 0, 1999)
    assert again["refund"]["reason"] == requested["refund"]["reason"]
    wait_for(lambda: world.payment(order_id).status == "refunded")
    world.come_to_rest()
    assert world.order(order_id).refunded_at is not None
    assert list(world.faults()) == []


def test_a_pending_refund_that_was_made_at_stripe_is_followed_without_webhooks(world, fake):
    order_id = world.bought()
    fake.control("refunds", begin="pending")
    refund_id = fake.control("refunds", payment_intent=world.payment(order_id).stripe_id)["id"]
    world.settlement.settle(order_id)
    fake.control("refunds", refund=refund_id, status="succeeded")
    world.ahead += timedelta(days=9)

    world.reconciler.run()

    assert world.payment(order_id).status == "refunded"


@pytest.mark.parametrize("begins", ["pending", "succeeded"])
def test_a_refund_that_fails_in_the_end_raises_an_alarm_and_is_not_repeated_by_itself(
    world, webhooks, fake, begins, caplog
):
    order_id = world.bought()
    fake.control("refunds", begin=begins)
    stripe_id = refunded(world, order_id)["stripe_id"]
    made = fake.client().v1.refunds.list({"payment_intent": stripe_id}).data[0]

    fake.control("refunds", refund=made.id, status="failed")
    wait_for(lambda: world.payment(order_id).snapshot()["has_refund_failed"])
    world.ahead += timedelta(hours=25)
    fake.control("clock", advance=25 * 3600)
    world.come_to_rest()
    kept = fake.ledger(order_id)[0]
    fake.control("refunds", begin="succeeded")
    again = refunded(world, order_id, "to the new card")

    assert (kept["refunded"], caplog.text.count("ALARM refund_failed")) == (0, 1)
    assert (again["status"], again["has_refund_failed"]) == ("refunded", False)
    world.come_to_rest()
    assert list(world.faults()) == []


def test_one_settlement_undoes_a_refund_that_failed_after_all(world, fake):
    order_id = world.bought()
    made = fake.client().v1.refunds.list({"payment_intent": refunded(world, order_id)["stripe_id"]}).data[0]
    fake.control("refunds", refund=made.id, status="failed")

    shown = world.settlement.settle(order_id)[0].snapshot()

    assert (shown["status"], shown["refunded_cents"], shown["has_refund_failed"]) == ("captured", 0, True)


@pytest.mark.parametrize("end", [["warning_closed"], ["warning_under_review"], ["needs_response", "lost"]])
def test_an_inquiry_is_not_a_lost_dispute(world, webhooks, fake, end):
    order_id = world.bought()
    inquiry = fake.control("disputes", payment_intent=world.payment(order_id).stripe_id, inquiry=True)

    for status in end:
        fake.control("disputes", dispute=inquiry["id"], status=status)

    wait_for(lambda: (world.payment(order_id).dispute or {}).get("status") == end[-1])
    world.come_to_rest()
    order = world.order(order_id)
    assert (order.status, order.refunded_at is not None) == ("complete", end[-1] == "lost")


def test_a_refund_can_be_made_during_an_inquiry(world, fake):
    order_id = world.bought()
    fake.control("disputes", payment_intent=world.payment(order_id).stripe_id, inquiry=True)
    world.settlement.settle(order_id)

    assert refunded(world, order_id)["status"] == "refunded"


@pytest.mark.parametrize("begins", ["pending", "succeeded"])
def test_a_partial_capture_by_hand_is_refunded_and_ends_the_order(world, fake, begins, caplog):
    order_id = paid_in_the_browser(world, fake)
    stripe_id = world.payment(order_id).stripe_id
    fake.client().v1.payment_intents.capture(stripe_id, {"amount_to_capture": 500})
    fake.control("refunds", begin=begins)

    world.come_to_rest()
    if begins == "pending":
        assert world.order(order_id).status == "awaiting_payment"
        made = fake.client().v1.refunds.list({"payment_intent": stripe_id}).data[0]
        fake.control("refunds", refund=made.id, status="succeeded")
        world.come_to_rest()

    order = world.order(order_id)
    assert (order.status, order.cancel_reason) == ("cancelled", "payment_failed")
    assert (order.refunded_cents, order.refunded_at is not None) == (500, True)
    assert (world.payment(order_id).refunded_cents, "ALARM wrong_amount" in caplog.text) == (500, True)
    assert list(world.faults()) == []
    assert world.audit.run().settled == []


def test_a_failed_refund_of_a_partial_capture_can_be_requested_again(world, fake):
    order_id = paid_in_the_browser(world, fake)
    fake.client().v1.payment_intents.capture(world.payment(order_id).stripe_id, {"amount_to_capture": 500})
    fake.control("refunds", begin="pending")
    stripe_id = world.settlement.settle(order_id)[0].stripe_id
    made = fake.client().v1.refunds.list({"payment_intent": stripe_id}).data[0]
    fake.control("refunds", refund=made.id, status="failed")
    world.come_to_rest()
    assert world.order(order_id).status == "awaiting_payment"
    fake.control("refunds", begin="succeeded")

    refunded(world, order_id)
    world.come_to_rest()

    assert world.order(order_id).status == "cancelled"
    assert list(world.faults()) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("succeeded", (1999, 0, 0)),
        ("pending", (0, 1999, 0)),
        ("requires_action", (0, 1999, 0)),
        ("failed", (0, 0, 1)),
        ("canceled", (0, 0, 1)),
    ],
)
def test_a_refund_is_made_or_pending_or_has_failed(status, expected):
    refunds = {
        "object": "list", "data": [{"object": "refund", "amount": 1999, "status": status}], "has_more": False,
        "url": "/v1/refunds",
    }  # fmt: skip
    charge = {"object": "charge", "id": "ch_1", "amount": 1999, "amount_captured": 1999, "refunds": refunds}

    given_back = _refund_totals(stripe.Charge.construct_from(charge, None))

    assert tuple(given_back.values()) == (*expected, frozenset(), frozenset(), False)


@pytest.mark.parametrize(("is_refunded", "refunds", "expected"), [(False, [1499], 0), (True, [1499, 500], 500)])
def test_what_was_never_captured_of_a_charge_is_no_refund(world, is_refunded, refunds, expected):
    data = [{"object": "refund", "amount": amount, "status": "succeeded"} for amount in refunds]
    charge = {
        "object": "charge", "id": "ch_1", "amount": 1999, "amount_captured": 500, "captured": True, "disputed": False,
        "refunded": is_refunded, "refunds": {"object": "list", "data": data, "has_more": False, "url": "/v1/refunds"},
    }  # fmt: skip

    given_back = _refund_totals(stripe.Charge.construct_from(charge, None))

    totals = {"refunded_cents": expected, "refunding_cents": 0, "failed_refunds": 0}
    partial_refunds = {"refund_ids": frozenset(), "failed_refund_ids": frozenset(), "has_duplicate_refund": False}
    assert given_back == totals | partial_refunds


def refund_some(world, order_id, cents, reason="a seat was broken", by="Olga"):
    return refund_partially(world.settlement, order_id, cents, reason, requested_by=by)


def test_many_partial_refunds_that_wait_for_stripe_are_made_at_once_without_an_alarm(world, fake):
    order_id = world.bought()
    fake.control("faults", kind="error", path="/v1/refunds", status=503, count=None)
    for number in range(7):
        with suppress(errors.StripeUnavailable):
            refund_some(world, order_id, 10, f"seat {number}")
    fake.control("faults", method="DELETE")
    world.ahead += UNDER_WAY_PERIOD

    world.reconciler.run()

    assert world.payment(order_id).refunded_cents == 70
    assert "alarms_unexpected_stripe_error" not in world.store.counts()


def test_a_partial_refund_is_made_once_however_often_it_is_requested_and_the_order_goes_on(world):
    order_id = world.bought()

    first, again = refund_some(world, order_id, 500), refund_some(world, order_id, 500)
    world.come_to_rest()

    assert (first["status"], first["refunded_cents"], again["refunded_cents"]) == ("captured", 500, 500)
    [one] = again["partial_refunds"]
    assert (one["amount_cents"], one["by"], one["state"]) == (500, "Olga", "created")
    assert "note" not in first
    assert "it is created. Another refund of the same amount needs another reason" in again["note"]
    order = world.order(order_id)
    assert (order.status, order.refunded_cents, order.refunded_at) == ("complete", 500, None)
    assert world.payment(order_id).has_work_left is False


def test_another_reason_is_another_refund_and_all_together_never_exceed_the_charge(world):
    order_id = world.bought()
    refund_some(world, order_id, 1000)
    with pytest.raises(errors.RefundTooLarge, match="Only 999") as refused:
        refund_some(world, order_id, 1000, "the other seat was broken")
    second = refund_some(world, order_id, 999, "the other seat was broken")
    world.come_to_rest()

    assert refused.value.details == {"left_cents": 999}
    assert (second["status"], second["refunded_cents"]) == ("refunded", 1999)
    assert world.order(order_id).refunded_at is not None
    with pytest.raises(errors.AlreadyRefunded):
        refund_some(world, order_id, 1, "once more")


def test_everything_else_is_refunded_after_a_partial_refund(world):
    order_id = world.bought()
    refund_some(world, order_id, 500)

    answer = refunded(world, order_id)
    world.come_to_rest()

    assert (answer["status"], answer["refunded_cents"]) == ("refunded", 1999)
    assert world.order(order_id).refunded_at is not None
    with pytest.raises(errors.AlreadyRefunded):
        refund_some(world, order_id, 1, "once more")


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda world, order_id: refund_some(world, order_id, 500)["partial_refunds"][0], "captured"),
        (lambda world, order_id: refunded(world, order_id)["refund"], "refunded"),
    ],
    ids=["of a part", "of everything"],
)
def test_a_refund_that_stripe_has_not_made_for_twenty_minutes_is_shown_to_operators(world, fake, ask, status):
    order_id = world.bought()
    fake.control("faults", kind="error", path="/v1/refunds", status=500, count=9)
    asked = ask(world, order_id)
    early = list_late_refunds(world.store, world.now())
    world.ahead += LATE_AFTER
    world.reconciler.run()

    [late] = list_late_refunds(world.store, world.now())
    fake.control("faults", method="DELETE")
    world.ahead += UNDER_WAY_PERIOD
    world.reconciler.run()

    assert (early, late["order_id"], late["since"].isoformat()) == ([], order_id, asked["at"])
    assert world.payment(order_id).status == status
    assert list_late_refunds(world.store, world.now()) == []


def test_a_partial_refund_that_was_requested_while_stripe_is_unreachable_is_made_later(world, fake):
    order_id = world.bought()
    fake.control("faults", kind="error", path="/v1/refunds", status=503, stored=True)

    before = refund_some(world, order_id, 500)
    world.ahead += UNDER_WAY_PERIOD
    world.reconciler.run()

    assert before["partial_refunds"][0]["state"] == "requested"
    assert world.payment(order_id).refunded_cents == 500
    assert world.payment(order_id).partial_refunds[0]["state"] == "created"


def test_a_partial_refund_that_an_instance_of_the_version_before_took_off_the_list_is_made_by_the_next_audit(world):
    order_id = world.bought()
    with pytest.MonkeyPatch.context() as busy:
        busy.setattr(world.settlement, "settle", Mock(side_effect=VersionConflict))
        refund_some(world, order_id, 500)
    world.store.payments.collection.update_one({"_id": order_id}, {"$set": {"work_left": False}})
    world.ahead += timedelta(days=3)

    world.audit.run()

    assert world.payment(order_id).refunded_cents == 500


def test_a_partial_refund_that_stripe_made_before_the_worker_died_is_not_made_again(world, monkeypatch):
    order_id, make = world.bought(), world.settlement.cards.refund_partially

    def dies(*arguments):
        make(*arguments)
        raise errors.StripeUnavailable("the worker died")

    with monkeypatch.context() as dying:
        dying.setattr(world.settlement.cards, "refund_partially", dies)
        asked = refund_some(world, order_id, 500)
    world.come_to_rest()

    assert asked["partial_refunds"][0]["state"] == "requested"
    assert world.payment(order_id).refunded_cents == 500


def test_a_partial_refund_that_failed_is_an_operators_to_request_again(world, fake):
    order_id = world.bought()
    fake.control("refunds", begin="pending")
    failed = refund_some(world, order_id, 500)
    pending = fake.client().v1.refunds.list({"payment_intent": failed["stripe_id"]}).data[0]
    fake.control("refunds", refund=pending.id, status="failed", failure_reason="expired_or_canceled_card")
    world.settlement.settle(order_id)
    assert world.payment(order_id).snapshot()["has_refund_failed"]

    fake.control("refunds", begin="succeeded")
    again = refund_some(world, order_id, 500)
    once_more = refund_some(world, order_id, 500)

    assert (again["refunded_cents"], again["has_refund_failed"]) == (500, False)
    assert [each["state"] for each in again["partial_refunds"]] == ["failed", "created"]
    assert once_more["refunded_cents"] == 500


def test_a_partial_refund_of_which_less_is_left_at_stripe_is_abandoned_with_an_alarm(world, monkeypatch):
    order_id = world.bought()
    with monkeypatch.context() as busy:
        busy.setattr(world.settlement, "settle", Mock(side_effect=VersionConflict))
        refund_some(world, order_id, 1500)
    world.refund_at_stripe(order_id)
    world.come_to_rest()

    payment = world.payment(order_id)
    assert (payment.status, payment.partial_refunds[0]["state"]) == ("refunded", "abandoned")
    assert world.store.counts() == {"alarms_refund_abandoned": 1}


def refunded_by_stripe(world, fake, order_id):
    """Let Stripe make the order's first partial refund, also if it has made it before; return the refund."""
    payment = world.payment(order_id)
    about = {"amount": 500, "metadata": {"refund": payment.partial_refunds[0]["id"]}}
    return fake.client().v1.refunds.create({"payment_intent": payment.stripe_id, **about})


def test_a_partial_refund_that_stripe_has_made_twice_after_all_raises_an_alarm_once(world, fake):
    order_id = world.bought()
    refund_some(world, order_id, 500)
    refunded_by_stripe(world, fake, order_id)

    world.settlement.settle(order_id)
    world.settlement.settle(order_id)

    assert world.store.counts() == {"alarms_duplicate_refund": 1}


def abandoned(world, fake):
    """Return the order of a partial refund with which Stripe failed; a full one replaced it, and came back."""
    order_id = world.bought()
    fake.control("faults", kind="error", path="/v1/refunds", status=500)
    refund_some(world, order_id, 500)
    fake.control("refunds", begin="pending")
    refunded(world, order_id)
    [made] = fake.client().v1.refunds.list({"payment_intent": world.payment(order_id).stripe_id}).data
    fake.control("refunds", refund=made.id, status="failed")
    fake.control("refunds", begin="succeeded")
    world.settlement.settle(order_id)
    assert world.payment(order_id).partial_refunds[0]["state"] == "abandoned"
    return order_id


def test_a_partial_refund_that_was_abandoned_can_be_requested_again_once_it_cannot_be_made_any_more(world, fake):
    order_id = abandoned(world, fake)

    with pytest.raises(errors.RefundUnderWay, match="Ask again after"):
        refund_some(world, order_id, 500)
    world.ahead += UNDER_WAY_PERIOD
    again = refund_some(world, order_id, 500)

    assert [each["state"] for each in again["partial_refunds"]] == ["abandoned", "created"]
    assert again["refunded_cents"] == 500


def test_a_partial_refund_that_stripe_made_though_it_was_abandoned_is_not_made_again(world, fake):
    order_id = abandoned(world, fake)
    refunded_by_stripe(world, fake, order_id)
    world.ahead += UNDER_WAY_PERIOD

    again = refund_some(world, order_id, 500)

    assert ([each["state"] for each in again["partial_refunds"]], again["refunded_cents"]) == (["created"], 500)


def test_a_partial_refund_that_stripe_makes_after_it_was_requested_again_raises_an_alarm(world, fake):
    order_id = abandoned(world, fake)
    world.ahead += UNDER_WAY_PERIOD
    refund_some(world, order_id, 500)
    before = world.store.counts()

    refunded_by_stripe(world, fake, order_id)
    world.settlement.settle(order_id)

    assert (before, world.payment(order_id).refunded_cents) == ({"alarms_refund_failed": 1}, 1000)
    assert world.store.counts() == {"alarms_refund_failed": 1, "alarms_duplicate_refund": 1}


def test_a_partial_refund_that_failed_and_was_made_when_requested_again_is_no_duplicate(world, fake):
    order_id = world.bought()
    refund_some(world, order_id, 500)
    [made] = fake.client().v1.refunds.list({"payment_intent": world.payment(order_id).stripe_id}).data
    fake.control("refunds", refund=made.id, status="failed")
    world.settlement.settle(order_id)

    again = refund_some(world, order_id, 500)

    assert [each["state"] for each in again["partial_refunds"]] == ["failed", "created"]
    assert world.store.counts() == {"alarms_refund_failed": 1}


@pytest.mark.parametrize("is_noticed", [True, False], ids=["noticed before it failed", "noticed after it failed"])
def test_a_partial_refund_that_stripe_made_twice_and_of_which_one_failed_is_not_made_again(world, fake, is_noticed):
    order_id = world.bought()
    refund_some(world, order_id, 500)
    twin = refunded_by_stripe(world, fake, order_id)
    if is_noticed:
        world.settlement.settle(order_id)
    fake.control("refunds", refund=twin.id, status="failed")
    world.settlement.settle(order_id)

    again = refund_some(world, order_id, 500)

    assert ([each["state"] for each in again["partial_refunds"]], again["refunded_cents"]) == (["created"], 500)
    assert "it is created" in again["note"]
    assert world.store.counts().get("alarms_duplicate_refund", 0) == is_noticed


def test_a_partial_refund_that_is_requested_again_is_abandoned_once_stripe_has_made_the_first(world, fake):
    order_id = abandoned(world, fake)
    world.ahead += UNDER_WAY_PERIOD
    fake.control("faults", kind="error", path="/v1/refunds", status=500)
    refund_some(world, order_id, 500)
    refunded_by_stripe(world, fake, order_id)
    world.ahead += UNDER_WAY_PERIOD
    world.reconciler.run()

    again = refund_some(world, order_id, 500)

    assert [each["state"] for each in again["partial_refunds"]] == ["created", "abandoned"]
    assert again["refunded_cents"] == 500
    assert "it is created" in again["note"]
    assert not world.payment(order_id).has_work_left


def test_what_may_yet_go_back_in_full_is_not_refunded_partially(world):
    order_id = world.reserve()
    with pytest.raises(errors.NotCaptured):
        refund_some(world, order_id, 500)
