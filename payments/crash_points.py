"""A hook for tests: ends the process at a numbered step, as a crash there would. Does nothing unless it is told to.

PAYMENTS_CRASH_AT=<number> names the step:

| step | just done |
| --- | --- |
| 1 | noted that a PaymentIntent is about to be made |
| 2 | made it at Stripe; its id is not stored |
| 3 | stored its id |
| 4 | noted that a card is about to be charged |
| 5 | charged it at Stripe; what came of it is not stored |
| 6 | stored what Stripe says |
| 7 | captured at Stripe; not stored |
| 8 | cancelled at Stripe; not stored |
| 9 | refunded at Stripe; not stored |
| 10 | noted that an operator wants a refund |
| 11 | stored a webhook; not settled |
| 12 | kept the copy of an order; not settled |
"""

import os


def crash_point(step: int) -> None:
    """End the process, without any of its manners, if the tests want it to die right after this step."""
    if os.environ.get("PAYMENTS_CRASH_AT") == str(step):
        os._exit(137)
