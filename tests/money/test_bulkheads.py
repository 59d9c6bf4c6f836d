"""Calls that wait for Stripe hold up no others, and requests to Stripe are limited for each buyer."""

import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta

import pytest

from dev.testing import wait_for
from gateway.app import create_app
from gateway.tests.fakes import SETTINGS, never_revoked
from libs.clock import utc_now
from libs.rpc import RemoteError

WORKERS, SLOW_WORKERS = 5, 2
"""Timers, the reconciler's among them, have up to three of the workers."""
MANY = 1000


@pytest.fixture(scope="module")
def shop(shop):
    """Payments with few workers, and bo's order that is paid."""
    with shop.payments(max_workers=WORKERS, max_slow_workers=SLOW_WORKERS):
        shop.paid = shop.reserve()
        shop.pay(shop.paid)
        shop.wait_for_status(shop.paid, "complete")
        yield shop


@pytest.fixture
def browser(shop):
    """Bo's browser, before a gateway in this process."""
    keys = {"TOKEN_PUBLIC_KEYS": shop.common["TOKEN_PUBLIC_KEYS"], "GATEWAY_SIGNING_KEY": shop.private["gateway"]}
    browser = create_app(shop.client, SETTINGS | keys, never_revoked()).test_client()
    with browser.session_transaction() as session:
        session["token"] = shop.signers["auth"].mint("bo", 600, email="bo@example.com")
    return browser


@contextmanager
def stripe_held(shop, payers):
    """Let none of Stripe's answers arrive while the block runs and so many buyers pay."""
    shop.fake.control("faults", kind="slow", seconds=600, count=MANY)
    with ThreadPoolExecutor(payers) as pool:
        paying = [pool.submit(shop.pay, order_id, timeout=20) for order_id in [shop.reserve() for _ in range(payers)]]
        try:
            wait_for(lambda: MANY - shop.fake.control("faults", method="GET")[0]["count"] >= SLOW_WORKERS, 10, "payers")
            yield
        finally:
            shop.fake.control("faults", method="DELETE")
            wait(paying)


def test_other_buyers_see_their_payments_while_stripe_keeps_payers_waiting(shop):
    with stripe_held(shop, payers=WORKERS + SLOW_WORKERS):
        assert shop.call("payments.get", order_id=shop.paid, timeout=2)["status"] == "captured"


def test_order_pages_of_other_buyers_open_at_once_while_stripe_keeps_payers_waiting(shop, browser):
    unpaid = shop.reserve()
    with stripe_held(shop, payers=WORKERS + SLOW_WORKERS):
        began = time.monotonic()
        pages = [browser.get(f"/orders/{order_id}") for order_id in (shop.paid, unpaid)]
        seconds = time.monotonic() - began

    assert [page.status_code for page in pages] == [200, 200] and seconds < 2
    assert "Paid" in pages[0].text and "tok_visa" in pages[1].text
    assert not [page for page in pages if "not possible at the moment" in page.text or "do not answer" in page.text]


def test_webhook_is_accepted_once_it_is_stored_and_settled_when_stripe_answers(shop):
    inbox = shop.world.store.inbox.collection

    with stripe_held(shop, payers=WORKERS + SLOW_WORKERS):
        sent = [shop.send_webhook(shop.paid, "charge.refunded") for _ in range(WORKERS)]
        assert sent == [True] * WORKERS
        assert inbox.count_documents({"waiting": True}) == WORKERS

    wait_for(lambda: not inbox.count_documents({"waiting": True}), 20, "the webhooks to be settled")


@pytest.mark.parametrize(
    ("kind", "method", "arguments"),
    [
        ("asking", "refresh", {}),
        ("paying", "create_intent", {}),
        ("paying", "announce", {}),
        ("paying", "pay", {"token": "tok_visa"}),
    ],
)
def test_nobody_has_stripe_asked_as_often_as_they_like(shop, kind, method, arguments):
    eve = f"eve, who calls {method}"
    soon = utc_now() + timedelta(minutes=30)
    counter = {"tries": 200, "until": soon, "forget_at": soon}
    shop.world.store.payments.collection.database.attempts.insert_one({"_id": f"{kind}:{eve}", **counter})

    with pytest.raises(RemoteError, match="TooManyAttempts") as refused:
        shop.call(f"payments.{method}", eve, order_id=shop.paid, **arguments)

    assert refused.value.details["retry_after"] > 0
