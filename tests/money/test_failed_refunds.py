"""What buyers, sellers and operators see of refunds that failed."""

from contextlib import suppress
from datetime import timedelta
from unittest.mock import Mock

import pytest

from libs.rpc.arguments import InvalidArguments
from payments import errors
from payments.refunds import list_failed_refunds, refund, refund_partially
from tests.money.scenarios import before_next


def refund_all(world, order_id, reason="the show was called off"):
    return refund(world.settlement, order_id, reason, requested_by="Olga")


def refund_some(world, order_id, cents, reason="one of two seats was broken", by="Olga"):
    return refund_partially(world.settlement, order_id, cents, reason, requested_by=by)


def made(world, fake, order_id):
    """Return the ids of the order's refunds at Stripe, the newest first."""
    found = fake.client().v1.refunds.list({"payment_intent": world.payment(order_id).stripe_id})
    return [one.id for one in found.data]


def come_back(world, fake, order_id, refund_id=None):
    """Let the cardholder's bank send the order's newest refund back, or another."""
    fake.control("refunds", refund=refund_id or made(world, fake, order_id)[0], status="failed")
    world.settlement.settle(order_id)
    world.come_to_rest()


def says(world, order_id):
    """Return what the order says was refunded, and whether that is everything."""
    order = world.order(order_id)
    return order.refunded_cents, order.refunded_at is not None


def listed(world):
    """Return what operators read of refunds that failed."""
    return [(each["amount_cents"], each["reason"]) for each in list_failed_refunds(world.store, 100)]


def test_an_order_does_not_go_on_saying_that_it_was_refunded_when_the_refund_came_back(world, fake):
    order_id = world.bought()
    refund_all(world, order_id)
    world.come_to_rest()
    before = says(world, order_id)

    come_back(world, fake, order_id)
    after, went_back_at = says(world, order_id), world.payment(order_id).refunded_at
    refund_some(world, order_id, 500, "agreed")
    world.come_to_rest()

    assert went_back_at is None
    assert (before, after, says(world, order_id)) == ((1999, True), (0, False), (500, False))


def test_a_seller_is_owed_what_a_refund_that_came_back_had_taken(world, fake):
    order_id = world.bought()
    refund_some(world, order_id, 1500)
    world.come_to_rest()
    come_back(world, fake, order_id)
    came_back = says(world, order_id)

    refund_some(world, order_id, 300, "agreed on less")
    world.come_to_rest()

    assert (came_back, says(world, order_id)) == ((0, False), (300, False))


def test_an_order_that_missed_that_its_refund_came_back_learns_of_it_by_comparing(world, fake):
    order_id = world.bought()
    refund_some(world, order_id, 1500)
    world.come_to_rest()
    fake.control("refunds", refund=made(world, fake, order_id)[0], status="failed")
    world.settlement.settle(order_id)
    world.store.payments.collection.update_many({}, {"$set": {"outbox": []}, "$unset": {"outbox_at": 1}})

    world.compare()

    assert says(world, order_id) == (0, False)


def test_a_refund_that_failed_is_not_forgotten_when_another_is_made(world, fake):
    order_id = world.bought()
    refund_some(world, order_id, 500, "seat 1 was broken")
    come_back(world, fake, order_id)

    other = refund_some(world, order_id, 300, "seat 2 had no view", by="Pim")
    still = listed(world)
    again = refund_some(world, order_id, 500, "seat 1 was broken")

    assert (other["refunded_cents"], other["has_refund_failed"], still) == (300, True, [(500, "seat 1 was broken")])
    assert (again["refunded_cents"], again["has_refund_failed"], listed(world)) == (800, False, [])


def test_a_refund_that_waits_for_stripe_is_made_though_another_fails_meanwhile(world, fake):
    order_id = world.bought()
    refund_some(world, order_id, 500, "seat 1 was broken")
    fake.control("faults", kind="error", path="/v1/refunds", status=500)
    refund_some(world, order_id, 300, "seat 2 had no view")
    come_back(world, fake, order_id, made(world, fake, order_id)[-1])

    world.ahead += timedelta(minutes=11)
    world.reconciler.run()

    assert [each["state"] for each in world.payment(order_id).partial_refunds] == ["failed", "created"]
    assert (world.payment(order_id).refunded_cents, listed(world)) == (300, [(500, "seat 1 was broken")])


def test_operators_read_how_much_failed_and_why_it_was_to_be_refunded(world, fake):
    some, everything = world.bought(), world.bought()
    refund_some(world, some, 500)
    come_back(world, fake, some)
    refund_all(world, everything)
    come_back(world, fake, everything)

    assert listed(world) == [(500, "one of two seats was broken"), (None, "the show was called off")]


def test_two_operators_who_give_the_same_partial_refund_pay_it_once(world):
    order_id = world.bought()
    refund_some(world, order_id, 500)

    answer = refund_some(world, order_id, 500, by="Pim")

    assert (answer["refunded_cents"], len(answer["partial_refunds"])) == (500, 1)
    assert answer["note"].startswith("Olga asked for this at ")


def failed_refunds(world, fake, *amounts):
    """Return an order whose partial refunds of so much have all come back."""
    order_id = world.bought()
    for amount in amounts:
        refund_some(world, order_id, amount, f"seat {amount}")
    for refund_id in made(world, fake, order_id):
        come_back(world, fake, order_id, refund_id)
    return order_id


def repeat_at_stripe(world, order_id, *amounts):
    for amount in amounts:
        world.refund_at_stripe(order_id, amount=amount)
        world.settlement.settle(order_id)


def test_a_failed_refund_that_was_repeated_at_stripe_is_neither_listed_nor_made_again(world, fake):
    order_id = failed_refunds(world, fake, 500)
    repeat_at_stripe(world, order_id, 300)
    some = listed(world)
    repeat_at_stripe(world, order_id, 200)

    again = refund_some(world, order_id, 500, "seat 500")
    world.come_to_rest()

    assert some == [(None, None)]  # an operator has to see how much is missing
    assert (again["refunded_cents"], again["has_refund_failed"], listed(world)) == (500, False, [])
    assert "it failed, but as much was returned since" in again["note"]
    assert says(world, order_id) == (500, False)


def test_of_two_failed_refunds_that_were_repeated_at_stripe_none_is_listed(world, fake):
    order_id = failed_refunds(world, fake, 300, 500)
    repeat_at_stripe(world, order_id, 500)
    one = listed(world)
    repeat_at_stripe(world, order_id, 300)

    assert (one, listed(world)) == ([(None, None)], [])


def test_a_failed_refund_is_listed_again_once_what_was_returned_for_it_comes_back_too(world, fake):
    order_id = failed_refunds(world, fake, 500)
    repeat_at_stripe(world, order_id, 500)
    come_back(world, fake, order_id)

    found = listed(world)
    again = refund_some(world, order_id, 500, "seat 500")

    assert found == [(500, "seat 500")]
    assert (again["refunded_cents"], listed(world)) == (500, [])


def test_a_refund_at_stripe_that_failed_is_not_forgotten_when_less_is_refunded_after_it(world, fake):
    order_id = world.bought()
    repeat_at_stripe(world, order_id, 1500)
    come_back(world, fake, order_id)

    repeat_at_stripe(world, order_id, 1)
    refund_some(world, order_id, 300)

    assert listed(world) == [(None, None)]


def test_a_refund_that_failed_and_was_repeated_at_stripe_before_anybody_looked_is_not_listed(world, fake):
    order_id = world.bought()
    refund_some(world, order_id, 500)
    fake.control("refunds", refund=made(world, fake, order_id)[0], status="failed")
    world.refund_at_stripe(order_id, amount=500)

    world.settlement.settle(order_id)

    assert listed(world) == []


def test_a_refund_of_everything_that_waits_for_stripe_is_made_though_a_part_comes_back_before(world, fake, monkeypatch):
    order_id = world.bought()
    refund_some(world, order_id, 500)
    with monkeypatch.context() as failing:
        failing.setattr(world.settlement.cards, "refund", Mock(side_effect=errors.StripeUnavailable("503")))
        refund_all(world, order_id)
        fake.control("refunds", refund=made(world, fake, order_id)[0], status="failed")
        with suppress(errors.StripeUnavailable):
            world.settlement.settle(order_id)

    world.settlement.settle(order_id)
    world.come_to_rest()

    assert (world.payment(order_id).status, listed(world), says(world, order_id)) == ("refunded", [], (1999, True))
    assert world.store.counts()["alarms_refund_failed"] == 1


def test_operators_look_themselves_at_a_refund_that_failed_under_an_earlier_version(world, fake):
    order_id = failed_refunds(world, fake, 500)
    world.store.payments.collection.update_one({"_id": order_id}, {"$unset": {"owed_cents": ""}})

    assert listed(world) == [(None, None)]


def test_a_refund_that_was_repeated_at_stripe_is_not_made_again_while_stripe_cannot_be_asked(world, fake):
    order_id = failed_refunds(world, fake, 500)
    world.refund_at_stripe(order_id, amount=500)
    fake.control("faults", kind="error", path="/v1/payment_intents/pi_*", status=503, count=2)

    with pytest.raises(errors.StripeUnavailable):
        refund_some(world, order_id, 500, "seat 500")
    world.come_to_rest()

    assert world.payment(order_id).refunded_cents == 500


def test_a_full_refund_after_others_that_failed_uses_a_key_of_its_own(world, fake):
    order_id = failed_refunds(world, fake, 500)
    refund_all(world, order_id)
    come_back(world, fake, order_id)
    refund_some(world, order_id, 300, "agreed")

    refund_all(world, order_id)
    world.come_to_rest()

    assert (world.payment(order_id).status, listed(world)) == ("refunded", [])


def test_a_refund_that_failed_because_of_a_dispute_is_the_disputes_to_decide(world, fake):
    order_id = world.bought()
    fake.control("refunds", begin="pending")
    refund_all(world, order_id)
    fake.control("refunds", refund=made(world, fake, order_id)[0], status="failed")
    dispute = fake.control("disputes", payment_intent=world.payment(order_id).stripe_id)
    world.settlement.settle(order_id)
    open_ = world.payment(order_id).snapshot()["has_refund_failed"], listed(world)
    fake.control("disputes", dispute=dispute["id"], status="lost")
    world.settlement.settle(order_id)
    world.come_to_rest()

    assert open_ == (False, [])
    assert (world.payment(order_id).snapshot()["has_refund_failed"], listed(world)) == (False, [])
    assert says(world, order_id) == (1999, True)


def test_a_refund_that_failed_is_listed_again_once_its_dispute_is_won(world, fake):
    order_id = world.bought()
    fake.control("refunds", begin="pending")
    refund_some(world, order_id, 500)
    fake.control("refunds", refund=made(world, fake, order_id)[0], status="failed")
    dispute = fake.control("disputes", payment_intent=world.payment(order_id).stripe_id)
    world.settlement.settle(order_id)

    fake.control("disputes", dispute=dispute["id"], status="won")
    world.settlement.settle(order_id)

    assert listed(world) == [(500, "one of two seats was broken")]


def test_a_lost_dispute_of_as_much_stands_for_a_partial_refund_that_failed(world, fake):
    order_id = world.bought()
    refund_some(world, order_id, 500)
    come_back(world, fake, order_id)
    dispute = fake.control("disputes", payment_intent=world.payment(order_id).stripe_id, amount=500)
    fake.control("disputes", dispute=dispute["id"], status="lost")

    world.settlement.settle(order_id)
    world.come_to_rest()

    assert (listed(world), says(world, order_id)) == ([], (500, False))


def test_who_refunds_more_than_a_refund_made_at_stripe_has_left_reads_so_at_once(world):
    order_id = world.bought()
    world.refund_at_stripe(order_id, amount=1500)

    with pytest.raises(errors.RefundTooLarge) as refused:
        refund_some(world, order_id, 600)

    assert refused.value.details == {"left_cents": 499}
    assert (world.payment(order_id).partial_refunds, listed(world)) == ([], [])


@pytest.mark.parametrize("asked", [refund_all, lambda world, order_id: refund_some(world, order_id, 500)])
def test_who_refunds_a_charge_that_was_just_disputed_reads_so_at_once(world, fake, asked):
    order_id = world.bought()
    fake.control("disputes", payment_intent=world.payment(order_id).stripe_id)

    with pytest.raises(errors.ChargeDisputed):
        asked(world, order_id)


def test_no_buyer_reads_that_a_bank_refused_a_refund_that_was_never_requested_from_stripe(world, fake):
    order_id = world.bought()
    fake.control("faults", kind="error", path="/v1/refunds", status=503, count=9)
    refund_some(world, order_id, 500)
    fake.control("disputes", payment_intent=world.payment(order_id).stripe_id)

    world.ahead += timedelta(minutes=11)
    world.settlement.settle(order_id)

    [asked] = world.payment(order_id).partial_refunds
    assert (asked["state"], world.payment(order_id).snapshot()["has_refund_failed"]) == ("abandoned", False)
    assert world.store.counts() == {"alarms_refund_abandoned": 1, "alarms_dispute_opened": 1}


def test_a_full_refund_is_made_though_stripe_refuses_a_partial_one_for_ever(world, fake, monkeypatch):
    order_id = world.bought()
    monkeypatch.setattr(world.settlement.cards, "refund_partially", lambda *about: None)  # as if the amount were wrong
    refund_some(world, order_id, 505)

    answer = refund_all(world, order_id)
    world.come_to_rest()

    assert (answer["status"], answer["partial_refunds"][0]["state"]) == ("refunded", "abandoned")
    assert says(world, order_id) == (1999, True)
    assert list(world.faults()) == []


def test_an_amount_that_stripe_does_not_refund_is_refused_at_once(world):
    order_id = world.bought()
    world.store.payments.collection.update_one({"_id": order_id}, {"$set": {"currency": "kwd"}})

    with pytest.raises(InvalidArguments, match="multiples of 0.010 KWD"):
        refund_some(world, order_id, 1005)

    assert world.payment(order_id).partial_refunds == []


def test_a_full_refund_and_a_partial_one_that_is_being_made_return_no_more_than_was_paid(world, fake):
    order_id = world.bought()

    before_next(world.settlement.cards, "refund_partially", lambda: refund_all(world, order_id))
    refund_some(world, order_id, 500)
    world.come_to_rest()

    assert (world.payment(order_id).refunded_cents, fake.ledger(order_id)[0]["refunded"]) == (1999, 1999)
