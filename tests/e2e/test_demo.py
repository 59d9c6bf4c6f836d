"""The demonstration and the trial purchase work on a running system."""

from tools import buy, demo


def test_demonstration_leaves_orders_in_every_state(system):
    _, buyer = demo.fill(system.gateway_url, 80)

    orders = buyer.call("GET", "/api/orders?limit=100", 200)
    states = [order["status"] for order in orders]
    assert states.count("created") == demo.RESERVED and states.count("cancelled") == demo.CANCELLED
    assert states.count("complete") == demo.COMPLETE + demo.DECLINED_THEN_PAID


def test_trial_purchase_and_race_pass(system):
    buy.buy(system.gateway_url)
    buy.race(system.gateway_url, 10)
