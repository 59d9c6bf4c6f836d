import urllib.error
from datetime import timedelta

import pytest

from libs.testing import wait_for
from payments import domain
from payments.refunds import refund


def asked(world, order_id, reason="the show was called off"):
    return refund(world.settlement, order_id, reason, who="operator")


def test_an_operators_refund_gives_everything_back_once_and_keeps_the_order(world):
    order_id = world.bought()

    first, second = asked(world, order_id), asked(world, order_id, "again")
    world.come_to_rest()

    assert (first["status"], first["refunded_cents"]) == ("refunded", 1999)
    assert (second["refund"]["by"], second["refund"]["reason"]) == ("operator", "the show was called off")
    order = world.order(order_id)
    assert order.status == "complete"
    assert order.refunded_at is not None
    assert list(world.faults()) == []


def test_what_was_not_captured_cannot_be_refunded(world):
    order_id = world.reserve()

    with pytest.raises(domain.NotCaptured):
        asked(world, order_id)


def test_a_refund_needs_a_reason(world):
    with pytest.raises(domain.ReasonMissing):
        asked(world, world.bought(), "  ")


def test_a_refund_asked_for_while_stripe_is_away_is_made_later(world, fake):
    order_id = world.bought()
    fake.control("faults", kind="error", path="/v1/refunds", status=503, count=2, stored=True)

    before = asked(world, order_id)
    world.come_to_rest()

    assert (before["status"], before["refund"]["by"]) == ("captured", "operator")
    assert world.payment(order_id).status == "refunded"
    assert list(world.faults()) == []


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


def test_the_rest_of_a_partly_refunded_charge_can_be_refunded(world, fake):
    order_id = world.bought()
    world.refund_at_stripe(order_id, amount=500)

    assert asked(world, order_id)["refunded_cents"] == 1999


def test_a_dispute_is_shown_and_refuses_a_refund(world, fake):
    order_id = world.bought()
    fake.control("disputes", payment_intent=world.payment(order_id).stripe_id)

    shown = world.till.refresh(order_id, "bo")

    assert shown["dispute"] | {"id": ""} == {
        "id": "", "status": "needs_response", "reason": "fraudulent", "amount_cents": 1999,
    }  # fmt: skip
    with pytest.raises(domain.ChargeDisputed):
        asked(world, order_id)


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
    world.change(order_id, lambda order: order.follow_payment(authorized(world, order_id), world.now()))
    world.store.follow(world.order(order_id).public(), world.now())
    payment, _ = world.settlement.settle(order_id)
    fake.control("disputes", payment_intent=payment.stripe_id)
    world.change(order_id, lambda order: order.give_up(world.now()))
    world.store.follow(world.order(order_id).public(), world.now())

    settled, _ = world.settlement.settle(order_id)

    assert (settled.status, settled.dispute["status"]) == ("captured", "needs_response")


def authorized(world, order_id):
    return {**world.payment(order_id).public(), "status": "authorized"}


def test_more_than_was_paid_cannot_be_refunded_at_stripe(world, fake):
    order_id = world.bought()

    with pytest.raises(urllib.error.HTTPError):
        world.refund_at_stripe(order_id, amount=5000)


@pytest.mark.parametrize("says", ["failed", "yes"])
def test_a_refund_that_came_to_nothing_is_left_to_an_operator(world, says, caplog, monkeypatch):
    order_id = world.bought()
    asked = []
    monkeypatch.setattr(world.settlement.cards, "refund", lambda *about: asked.append(about) or says == "yes")

    refund(world.settlement, order_id, "the show was cancelled", "operator")
    for _ in range(3):
        world.ahead += timedelta(hours=25)
        world.reconciler.run()

    assert len(asked) == 1
    assert caplog.text.count("ALARM refund_failed") == 1
    monkeypatch.undo()
    assert refund(world.settlement, order_id, "once more", "operator")["status"] == "refunded"
    assert [len(charge["refunds"]) for charge in world.fake.ledger(order_id)[0]["charges"]] == [1]
