"""All events: who publishes each, who listens, and the schema of its body. docs/events.md is made from this.

A body is the whole public state of one aggregate: `id`, `version` (an integer, +1 for each saved change) and the rest.
Amounts are integers in the currency's minor unit; times are ISO 8601 in UTC. Fields may be added, never renamed or
removed; a listener ignores unknown fields.
"""

from marshmallow import EXCLUDE, Schema, fields, validate

from libs.contracts.parts import FOLLOWERS
from libs.events.catalogue import Catalogue
from libs.events.event import Event


class Body(Schema):
    """The base of bodies and their parts: undeclared fields are ignored."""

    class Meta:
        """How marshmallow treats undeclared fields."""

        unknown = EXCLUDE


class Snapshot(Body):
    """What every event's body has."""

    id = fields.String(required=True, validate=validate.Length(min=1))
    version = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))


class Seat(Body):
    """Where the holder of a ticket sits; all three are null where they choose it themselves."""

    section = fields.String(allow_none=True, load_default=None)
    row = fields.String(allow_none=True, load_default=None)
    seat = fields.String(allow_none=True, load_default=None)


class TicketSnapshot(Snapshot):
    """A listing as stored by tickets."""

    seller_id = fields.String(required=True)
    title = fields.String(required=True)
    price_cents = fields.Integer(required=True, strict=True)
    price_version = fields.Integer(required=True, strict=True)
    revision = fields.Integer(allow_none=True, load_default=None, strict=True)
    currency = fields.String(required=True)
    category = fields.String(required=True)
    venue = fields.String(allow_none=True, load_default=None)
    starts_at = fields.AwareDateTime(allow_none=True, load_default=None)
    seat = fields.Nested(Seat, allow_none=True, load_default=None)
    city = fields.String(allow_none=True, load_default=None)
    time_zone = fields.String(allow_none=True, load_default=None)
    event_id = fields.String(allow_none=True, load_default=None)
    withdrawn = fields.Boolean(required=True)
    status = fields.String(required=True)
    reserved_until = fields.AwareDateTime(allow_none=True, load_default=None)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class OrderedTicket(Body):
    """The ticket of an order as it was when the order was made."""

    id = fields.String(required=True)
    title = fields.String(required=True)
    price_cents = fields.Integer(required=True, strict=True)
    currency = fields.String(required=True)
    category = fields.String(required=True)
    venue = fields.String(allow_none=True, load_default=None)
    starts_at = fields.AwareDateTime(allow_none=True, load_default=None)
    seat = fields.Nested(Seat, allow_none=True, load_default=None)
    city = fields.String(allow_none=True, load_default=None)
    time_zone = fields.String(allow_none=True, load_default=None)


class OrderSnapshot(Snapshot):
    """An order as stored by orders."""

    status = fields.String(required=True)
    cancel_reason = fields.String(allow_none=True, load_default=None)
    buyer_id = fields.String(required=True)
    seller_id = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)
    is_extendable = fields.Boolean(load_default=False)
    reservation_no = fields.Integer(required=True, strict=True)
    price_cents = fields.Integer(required=True, strict=True)
    currency = fields.String(required=True)
    ticket = fields.Nested(OrderedTicket, required=True)
    refunded_at = fields.AwareDateTime(allow_none=True, load_default=None)
    refunded_cents = fields.Integer(load_default=0, strict=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class PaymentDispute(Body):
    """A cardholder's claim to have a payment back; status and reason in Stripe's words."""

    id = fields.String(required=True)
    status = fields.String(required=True)
    reason = fields.String(required=True)
    amount_cents = fields.Integer(required=True, strict=True)
    is_refundable = fields.Boolean(load_default=False)
    lost_cents = fields.Integer(strict=True)


class PaymentSnapshot(Snapshot):
    """A payment as stored by payments; its id is its order's."""

    order_id = fields.String(required=True)
    ticket_id = fields.String(allow_none=True, load_default=None)
    stripe_id = fields.String(allow_none=True, load_default=None)
    status = fields.String(required=True)
    final = fields.Boolean(load_default=False)
    is_confirming = fields.Boolean(load_default=False)
    is_challenged = fields.Boolean(load_default=False)
    amount_cents = fields.Integer(required=True, strict=True)
    currency = fields.String(required=True)
    declines = fields.Integer(load_default=0, strict=True)
    decline_code = fields.String(allow_none=True, load_default=None)
    remaining = fields.Integer(allow_none=True, load_default=None, strict=True)
    card_brand = fields.String(allow_none=True, load_default=None)
    card_last4 = fields.String(allow_none=True, load_default=None)
    refunded_cents = fields.Integer(load_default=0, strict=True)
    refunding_cents = fields.Integer(load_default=0, strict=True)
    refunded_at = fields.AwareDateTime(allow_none=True, load_default=None)
    has_refund_failed = fields.Boolean(load_default=False)
    has_full_refund_failed = fields.Boolean(load_default=False)
    dispute = fields.Nested(PaymentDispute, allow_none=True, load_default=None)
    captured_at = fields.AwareDateTime(allow_none=True, load_default=None)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class DeadlineSnapshot(Snapshot):
    """An order's deadline as stored by expiration; its id is its order's."""

    order_id = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)


class SessionSnapshot(Snapshot):
    """A session that was ended before its time; its id is the token's `jti`.

    With a `generation`, all sessions of a user below that generation were ended; then its id is the user's.
    """

    user_id = fields.String(required=True)
    generation = fields.Integer(allow_none=True, load_default=None, strict=True)
    expires_at = fields.AwareDateTime(required=True)


class AnnouncementSnapshot(Snapshot):
    """The banner on the site: its texts by their languages, none when it was removed."""

    texts = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


_ORDER_LISTENERS = ("tickets", "payments", "expiration")

TicketCreated = Event("TicketCreated", "tickets", ("orders",), TicketSnapshot(), ("gateway",))
TicketUpdated = Event("TicketUpdated", "tickets", ("orders",), TicketSnapshot(), ("gateway",))
TicketReservationChanged = Event("TicketReservationChanged", "tickets", (), TicketSnapshot(), ("gateway",))
OrderCreated = Event("OrderCreated", "orders", ("tickets", "expiration"), OrderSnapshot())
OrderAwaitingPayment = Event("OrderAwaitingPayment", "orders", _ORDER_LISTENERS, OrderSnapshot())
OrderUpdated = Event("OrderUpdated", "orders", _ORDER_LISTENERS, OrderSnapshot())
OrderCancelled = Event("OrderCancelled", "orders", _ORDER_LISTENERS, OrderSnapshot())
OrderCompleted = Event("OrderCompleted", "orders", _ORDER_LISTENERS, OrderSnapshot())
PaymentAuthorized = Event("PaymentAuthorized", "payments", ("orders",), PaymentSnapshot())
PaymentCreated = Event("PaymentCreated", "payments", ("orders",), PaymentSnapshot())
PaymentFailed = Event("PaymentFailed", "payments", ("orders",), PaymentSnapshot())
PaymentRefunded = Event("PaymentRefunded", "payments", ("orders",), PaymentSnapshot())
ExpirationComplete = Event("ExpirationComplete", "expiration", ("orders",), DeadlineSnapshot())
SessionRevoked = Event("SessionRevoked", "auth", (), SessionSnapshot(), FOLLOWERS)
AnnouncementChanged = Event("AnnouncementChanged", "auth", (), AnnouncementSnapshot(), ("gateway",))

CATALOGUE = Catalogue(
    TicketCreated,
    TicketUpdated,
    TicketReservationChanged,
    OrderCreated,
    OrderAwaitingPayment,
    OrderUpdated,
    OrderCancelled,
    OrderCompleted,
    PaymentAuthorized,
    PaymentCreated,
    PaymentFailed,
    PaymentRefunded,
    ExpirationComplete,
    SessionRevoked,
    AnnouncementChanged,
)

RETIRED_QUEUES = ("payments.OrderCreated",)
"""Queues of earlier versions: their listeners no longer need what is in them."""
