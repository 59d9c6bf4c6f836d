"""The answers of payments when orders asks about the payments of overdue orders."""

import time

import pytest

from payments import outcomes
from payments.outcomes import Outcomes
from tests.money.buyer import paid_in_the_browser


@pytest.fixture
def find(world):
    """Ask as orders does; return (unpaid, {order id: status of its payment})."""
    asking = Outcomes(world.settlement)

    def find(*order_ids):
        found = asking.find(list(order_ids))
        return set(found["unpaid"]), {payment["id"]: payment["status"] for payment in found["settled"]}

    return find


def slow(fake, seconds=2.0):
    fake.control("faults", kind="slow", path="/v1/payment_intents/*", seconds=seconds, count=100)


def test_payment_of_which_no_webhook_arrived_is_settled(world, fake, find):
    order_id = paid_in_the_browser(world, fake)

    assert find(order_id) == (set(), {order_id: "authorized"})


def test_orders_that_nobody_began_to_pay_are_unpaid_without_stripe(world, fake, find):
    never_heard_of, ordered = "0" * 24, world.reserve()
    fake.control("faults", kind="error", status=500, executed=False, count=100)

    assert find(never_heard_of, ordered) == ({never_heard_of, ordered}, {})


def test_card_form_that_was_only_opened_is_unpaid(world, find):
    order_id = world.reserve()
    world.checkout.open_form(order_id, "bo")

    assert find(order_id) == ({order_id}, {})


def test_card_that_is_being_charged_is_unknown(world, find):
    order_id = world.reserve()
    world.checkout.announce(order_id, "bo")

    assert find(order_id) == (set(), {})


def test_outcome_that_is_known_is_answered_without_stripe(world, fake, find):
    bought, authorized = world.bought(), world.reserve()
    world.pay(authorized)
    fake.control("faults", kind="error", status=500, executed=False, count=100)

    assert find(bought, authorized) == (set(), {bought: "captured", authorized: "authorized"})


def test_while_stripe_fails_only_what_needs_it_is_unknown(world, fake, find):
    paid, unpaid = paid_in_the_browser(world, fake), world.reserve()
    fake.control("faults", kind="error", path="/v1/payment_intents/*", status=500, executed=False, count=100)

    assert find(paid, unpaid) == ({unpaid}, {})


def test_while_stripe_is_slow_orders_is_answered_in_time(world, fake, find, monkeypatch):
    monkeypatch.setattr(outcomes, "LONGEST_SECONDS", 0.5)
    paid, unpaid = paid_in_the_browser(world, fake), world.reserve()
    slow(fake, seconds=600)
    began = time.monotonic()

    found = find(paid, unpaid)

    assert found == ({unpaid}, {})
    assert time.monotonic() - began < 8  # Stripe is given up after ten seconds
    fake.control("faults", method="DELETE")


def test_slow_calls_do_not_add_up(world, fake, find, monkeypatch):
    monkeypatch.setattr(outcomes, "LONGEST_SECONDS", 0.2)
    order_ids = [paid_in_the_browser(world, fake) for _ in range(3)]
    asked = []
    slow(fake)
    monkeypatch.setattr(world.settlement, "settle", lambda order_id: asked.append(order_id) or time.sleep(2))

    for _ in range(outcomes.MAXIMUM_AT_ONCE):
        find(*order_ids)

    assert len(asked) <= outcomes.MAXIMUM_AT_ONCE


def test_many_are_settled_at_once(world, fake, find):
    order_ids = [paid_in_the_browser(world, fake) for _ in range(outcomes.MAXIMUM_AT_ONCE)]

    assert find(*order_ids) == (set(), dict.fromkeys(order_ids, "authorized"))
