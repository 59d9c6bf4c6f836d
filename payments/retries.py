"""Retries of operations that call Stripe: after a version conflict, or if Stripe did not answer."""

import time
from collections.abc import Callable
from typing import TypeVar

from libs.context import remaining_seconds
from libs.events import VersionConflict
from payments.card_provider import StripeBusy
from payments.errors import StripeUnavailable

LONGEST_SECONDS = 3.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 0.5

Result = TypeVar("Result")


def with_retries(act: Callable[[], Result]) -> Result:
    """Return what `act` returns, repeating it while others change the same payment, or keep it locked at Stripe.

    Gives up at the deadline of the current work, and after 3 s at most. If Stripe does not answer, it is repeated once.
    Never nested. Raises what `act` raised last.
    """
    until = time.monotonic() + remaining_seconds(LONGEST_SECONDS)
    pause, is_unanswered = FIRST_PAUSE_SECONDS, False
    while True:
        try:
            return act()
        except (VersionConflict, StripeBusy):
            if time.monotonic() + pause > until:
                raise
        except StripeUnavailable as error:
            if is_unanswered or not error.may_be_repeated or time.monotonic() + pause > until:
                raise
            is_unanswered = True
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def is_awaited() -> bool:
    """Whether the caller still waits: after the deadline of the current work nothing that charges a card is begun."""
    return remaining_seconds(LONGEST_SECONDS) > 0
