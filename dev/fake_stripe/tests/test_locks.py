"""A PaymentIntent takes one write at a time."""

import threading
import time

import pytest
import stripe


@pytest.fixture
def slow_confirm(fake, intents, new_intent):
    """Return a PaymentIntent of which a confirmation has begun, and ends when the faults are cleared."""
    intent = new_intent()
    fake.control("faults", kind="slow", path="*/confirm", seconds=60)
    confirming = threading.Thread(target=intents.confirm, args=(intent.id, {"payment_method": "pm_card_visa"}))
    confirming.start()
    while fake.control("faults", method="GET"):
        time.sleep(0.01)
    yield intent
    fake.control("faults", method="DELETE")
    confirming.join()


def test_second_write_waits_for_the_first(slow_confirm, intents, fake):
    released = threading.Timer(0.2, fake.control, args=("faults",), kwargs={"method": "DELETE"})
    released.start()

    assert intents.capture(slow_confirm.id).status == "succeeded"
    released.join()


@pytest.mark.parametrize("write", ["cancel", "refund"])
def test_second_write_is_refused_when_the_first_takes_too_long(slow_confirm, client, fake, write):
    fake.control("locks", wait=0)
    about = slow_confirm.id
    writes = {
        "cancel": lambda: client.payment_intents.cancel(about),
        "refund": lambda: client.refunds.create({"payment_intent": about}),
    }

    with pytest.raises(stripe.RateLimitError) as refused:
        writes[write]()

    assert refused.value.error.code == "lock_timeout"


def test_reading_and_writing_elsewhere_never_wait(slow_confirm, intents, new_intent, fake):
    fake.control("locks", wait=0)

    assert intents.retrieve(slow_confirm.id).status == "requires_payment_method"
    assert intents.cancel(new_intent().id).status == "canceled"
