"""A PaymentIntent as the rules use it."""

from dataclasses import dataclass
from typing import Any

from payments.disputes import forbids_refund


@dataclass(frozen=True)
class PaymentIntent:
    """The state of a PaymentIntent at Stripe. `declines` is None if they were not counted.

    `refunding_cents` are pending refunds, which may still fail; `failed_refunds` counts those that did.
    `refund_ids` are the ids that we gave to partial refunds and that Stripe's refunds carry, whatever became of them;
    `failed_refund_ids` are those whose refunds have all failed. `has_duplicate_refund`: two refunds that have not
    failed are for the same request.
    `last_payment_method` is the PaymentMethod that was tried last, "" before the first. `is_first_reply`: this is
    Stripe's reply to this worker's own request, neither replayed nor read afterwards.
    """

    id: str
    status: str
    client_secret: str
    amount_cents: int
    currency: str
    order_id: str | None = None
    declines: int | None = None
    decline_code: str | None = None
    refunded_cents: int = 0
    refunding_cents: int = 0
    failed_refunds: int = 0
    refund_ids: frozenset[str] = frozenset()
    failed_refund_ids: frozenset[str] = frozenset()
    has_duplicate_refund: bool = False
    card_brand: str | None = None
    card_last4: str | None = None
    captured_cents: int | None = None
    dispute: dict[str, Any] | None = None
    last_payment_method: str = ""
    is_first_reply: bool = False

    @property
    def taken_cents(self) -> int:
        """What was captured, whether or not it was refunded since."""
        if self.status != "succeeded":
            return 0
        return self.amount_cents if self.captured_cents is None else self.captured_cents

    @property
    def kept_cents(self) -> int:
        """What was captured and has not been refunded yet."""
        return self.taken_cents - self.refunded_cents

    @property
    def is_refundable(self) -> bool:
        """Whether money is left to refund, and Stripe allows it: not when the cardholder's bank has taken it back."""
        return self.refundable_cents > 0 and not forbids_refund(self.dispute)

    @property
    def refundable_cents(self) -> int:
        """How much of what was captured is neither refunded nor being refunded."""
        return self.kept_cents - self.refunding_cents

    @property
    def requests_refunded(self) -> set[str]:
        """The requests for partial refunds, as `request_of` names them, that are refunded or being refunded."""
        return set(map(request_of, self.refund_ids - self.failed_refund_ids))


def request_of(refund_id: str) -> str:
    """Return the id of the request that a partial refund is for: its own id without the number of the attempt."""
    return refund_id.partition("-")[0]
