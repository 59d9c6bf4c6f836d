"""The demonstration and the trial purchase work on a running system."""

from collections import Counter

from dev.demo import buy, demonstration


def test_demonstration_leaves_orders_in_every_state_that_lasts(system):
    _, buyer = demonstration.fill(system.gateway_url, 80)

    orders = buyer.call("GET", "/api/orders?limit=100", 200)
    assert Counter((order["status"], order["cancelReason"]) for order in orders) == {
        ("created", None): demonstration.RESERVED,
        ("complete", None): demonstration.COMPLETE + demonstration.DECLINED_THEN_PAID,
        ("cancelled", "buyer"): demonstration.CANCELLED,
        ("cancelled", "expired"): demonstration.EXPIRED,
        ("cancelled", "payment_failed"): demonstration.DECLINED,
    }


def test_trial_purchase_and_race_pass(system):
    buy.buy(system.gateway_url)
    buy.race(system.gateway_url, 10)
