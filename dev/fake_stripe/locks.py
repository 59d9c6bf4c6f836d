"""Locks: one write at a time on a PaymentIntent; another one waits a little and is then refused."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dev.fake_stripe.errors import StripeError

WAIT_SECONDS = 2.0
LOCKED = (
    "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. "
    "If you see this error intermittently, retry the request. If you see this error frequently and are making multiple "
    "concurrent requests to a single object, make your requests serially or at a lower rate. For more details, see "
    "https://stripe.com/docs/rate-limits#object-lock-timeouts."
)


class Locks:
    """The PaymentIntents that are being written; `wait`: how many seconds another write waits."""

    def __init__(self) -> None:
        self.wait = WAIT_SECONDS
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def lock(self, id: str | None) -> Iterator[None]:
        """Hold an object (None: there is none to hold) for one request; refuse (429) when that takes too long."""
        if id is None:
            yield
            return
        with self._changed:
            if not self._changed.wait_for(lambda: id not in self._held, self.wait):
                raise StripeError(429, "invalid_request_error", LOCKED, code="lock_timeout")
            self._held.add(id)
        try:
            yield
        finally:
            with self._changed:
                self._held.discard(id)
                self._changed.notify_all()
