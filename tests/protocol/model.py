"""The state of the world: small immutable values, compared by value."""

from typing import NamedTuple

FAILED, REFUSED = -1, -2


class Snapshot(NamedTuple):
    """A published snapshot of a payment. `turn` counts how often its `refunded_cents` changed before it."""

    status: str
    final: bool = False
    refunded_cents: int = 0
    turn: int = 0


class PartialRefund(NamedTuple):
    """A partial refund that an operator asked for, as payments stores it."""

    id: str  # the number of the request, "0", and of its repeat, "0-1"
    state: str = "requested"
    key_no: int = 0  # of its idempotency key
    failed: str = ""  # "", "fresh" or "old": when Stripe last answered its request with a failure
    abandoned: str = ""  # the same: when it was abandoned


class Document(NamedTuple):
    """The document of payments for an order; `copy` is the version of the order that it holds, 0 for none."""

    version: int = 1
    copy: int = 1
    asked: bool = True  # orders, since it was opened
    status: str = "open"
    intent: int | None = None  # which of the order's PaymentIntents
    creating: str = ""  # "", "fresh" or "old": more than 20 hours ago
    key_no: int = 0  # of the idempotency key under which its PaymentIntent is created
    declines: int = 0
    refusals: int = 0  # of captures
    refused_long_ago: bool = False
    refund_asked: bool = False  # by an operator
    asked_before: bool = False  # by an operator, but that refund failed
    refunded_cents: int = 0
    partial_refunds: tuple[PartialRefund, ...] = ()  # those that operators asked for
    has_refund_failed: bool = False  # so that no other is made until an operator asks for one
    failed_refunds: int = 0  # of which it has been noted that they came back
    work_left: bool = False


class Intent(NamedTuple):
    """A PaymentIntent at Stripe, with what was really captured and refunded."""

    status: str = "requires_payment_method"
    declines: int = 0
    captures: int = 0
    refunds: int = 0  # of all that was left
    refunds_returned: int = 0  # how many of them the cardholder's bank sent back
    partial_refunds: tuple[str, ...] = ()  # which ones were made, one after the other
    returned: frozenset[str] = frozenset()  # which of them the cardholder's bank sent back
    refund_replies: frozenset[tuple[str, int, bool]] = frozenset()  # (which, key_no, made) that Stripe replays
    late: frozenset[tuple[str, int]] = frozenset()  # (which, key_no) of requests that are still under way at Stripe

    @property
    def is_refunded(self) -> bool:
        """Whether all that was left was refunded, and did not come back."""
        return self.refunds > self.refunds_returned

    @property
    def has_returned(self) -> bool:
        """Whether the cardholder's bank sent a refund back."""
        return bool(self.returned) or self.refunds_returned > 0

    @property
    def kept_refunds(self) -> list[str]:
        """The partial refunds that were made and did not come back."""
        return [refund for refund in self.partial_refunds if refund not in self.returned]

    is_old: bool = False  # created before the day passed, so Stripe's search is sure to find it


class Claim(NamedTuple):
    """One order with its money. `history` is its status in each version: the snapshots that orders has published."""

    history: tuple[str, ...] = ("created",)
    is_overdue: bool = False
    a_day_passed: bool = False
    refunded_cents: int = 0  # as the order says
    followed: int = 0  # the turn of the newest snapshot of its payment that the order has followed
    published: frozenset[Snapshot] = frozenset()  # by payments
    document: Document | None = None
    intents: tuple[Intent, ...] = ()
    replies: tuple[tuple[int, int], ...] = ()  # what Stripe replays for each key_no: the PaymentIntent, FAILED, REFUSED
    late: frozenset[int] = frozenset()  # the key_no of each creation that is still under way at Stripe
    payable: int = 0  # how often the buyer may still begin to pay
    paid_in_time: bool = False  # a card was authorized before the deadline, and the order is still created
    extensions: int = 0  # how often its deadline was extended
    unacked: bool = False  # the newest event may still be redelivered to payments (tracked only without a reconciler)

    @property
    def status(self) -> str:
        """The order's status."""
        return self.history[-1]

    def snapshot(self, status: str, final: bool, refunded_cents: int) -> Snapshot:
        """Return a new snapshot of the payment."""
        newest = max(self.published, key=lambda each: each.turn, default=Snapshot(""))
        return Snapshot(status, final, refunded_cents, newest.turn + (refunded_cents != newest.refunded_cents))


class Listing(NamedTuple):
    """The ticket as stored by tickets; `snapshots` has its state in each version."""

    snapshots: tuple[tuple[bool, int, str, int], ...] = ((False, 1, "on_sale", 1),)
    # (withdrawn, price_version, status, revision); orders is told of those that are the revision
    reservation: tuple[int, int] | None = None  # (no, version) of the newest order that it knows
    delivered: frozenset[tuple[int, int]] = frozenset()  # what was delivered to it, tracked only where that matters


class Worker(NamedTuple):
    """A worker in flight and its next step, with what it has read."""

    task: str
    claim: int
    read: Document | None = None
    intent: int | None = None
    written: Document | None = None
    event: tuple[str, bool, int] | None = None  # the status, whether it is final, and what was refunded
    then: str = ""
    order_version: int = 0  # the version that orders read before it asks or writes, or that payments was answered
    refund: str = ""  # which partial refund it will ask for, under the key of this number
    key_no: int = 0
    acks: int = 0  # the version of the order whose event is acknowledged at the end


class World(NamedTuple):
    """The whole state."""

    claims: tuple[Claim, ...] = ()
    workers: tuple[Worker, ...] = ()
    listing: Listing = Listing()
    copy: int = 1  # the version of the listing that orders holds
    changes: int = 0  # how often the seller may still edit or withdraw
    broken: str = ""  # the forbidden thing that has just happened

    def with_claim(self, number: int, claim: Claim) -> "World":
        """Return the world with one claim changed."""
        return self._replace(claims=(*self.claims[:number], claim, *self.claims[number + 1 :]))


class Limits(NamedTuple):
    """How much may happen in one search."""

    orders: int = 1
    workers: int = 2
    payments: int = 1  # begun by the buyer, per order
    declines: int = 1
    refusals: int = 0  # of captures
    failures: int = 0  # of creations, and of partial refunds, at Stripe
    late: bool = False  # whether Stripe goes on with a creation that it has answered with a failure
    refused_creations: int = 0  # by Stripe, which accepts no such amount
    days: bool = False
    seller: int = 0  # edits and withdrawals
    operator: bool = False  # whether an operator may refund
    partial_refunds: int = 0  # how many of them operators may ask for
    returned: int = 0  # how many refunds the cardholder's bank may send back
    repeats: int = 0  # how often operators may ask for one again that was abandoned, or came back
    cancelling: bool = True
    buying: bool = True  # whether buyers do anything at payments and Stripe
    money: bool = True  # whether payments exists at all
    racing: bool = False  # whether reserving takes several steps, by several buyers at once
    extending: bool = False  # whether the buyer extends the deadline
    unacked: bool = False  # whether acknowledgements are tracked
