"""What the JSON API takes and gives: camelCase out here, snake_case from here on. Forms are checked by the same."""

from typing import Any

from marshmallow import EXCLUDE, Schema, fields, post_load
from marshmallow.validate import OneOf

from gateway.fields import Moment, Plain, Price, Text, Whole, saying

CATEGORIES = ("movie", "concert", "match", "show", "stage", "other")
LISTED = ("on_sale", "reserved", "sold", "all")
STATUSES = ("on_sale", "reserved", "sold", "withdrawn")
MINE = (*STATUSES, "all")
ORDER_STATUSES = ("created", "awaiting_payment", "complete", "cancelled")
CANCEL_REASONS = ("buyer", "expired", "payment_failed")
PAYMENT_STATUSES = ("complete", "confirming")
SORTS = ("newest", "price_asc", "price_desc")
PRICE_PROBLEM = "Enter a price from 0.50 to 999,999.99, with at most two decimals."
TITLE_PROBLEM = "Enter a title of 1 to 200 characters."


class EdgeSchema(Schema):
    """Fields are named in camelCase outside unless they say otherwise; unknown ones are ignored."""

    class Meta:
        """How marshmallow treats what is not declared."""

        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Name the field in camelCase outside."""
        first, *rest = field_name.split("_")
        field_obj.data_key = field_obj.data_key or first + "".join(word.capitalize() for word in rest)


class Answer(EdgeSchema):
    """What the API answers: every field is always there, null when there is nothing to say."""


def choice(problem: str, values: tuple[str, ...], **options: Any) -> fields.String:
    """Return a field that takes one of `values`."""
    return fields.String(validate=OneOf(values, error=problem), error_messages=saying(problem), **options)


def one_of(values: tuple[str, ...], **options: Any) -> fields.String:
    """Return a field of an answer that holds one of `values`."""
    return fields.String(validate=OneOf(values), **options)


class SignUpBody(EdgeSchema):
    """A new user's email and password."""

    email = Text("Enter an email address, like ana@example.com.", minimum=3, maximum=254, required=True)
    password = Plain("Choose a password of 8 to 64 characters.", minimum=8, maximum=64, required=True)


class SignInBody(EdgeSchema):
    """A user's email and password; whether they are right is auth's to say."""

    email = Text("Enter your email address.", minimum=1, required=True)
    password = Plain("Enter your password.", minimum=1, maximum=1024, required=True)


class PasswordBody(EdgeSchema):
    """The password that a user has, and the one that they want."""

    current = Plain("Enter your current password.", minimum=1, maximum=1024, data_key="currentPassword", required=True)
    new = Plain(
        "Choose a password of 8 to 64 characters.", minimum=8, maximum=64, data_key="newPassword", required=True
    )


class UserAnswer(Answer):
    """A user, as that user sees it."""

    id = fields.String()
    email = fields.String()


class CurrentUserAnswer(Answer):
    """Who is signed in; null for nobody."""

    current_user = fields.Nested(UserAnswer, allow_none=True)


class NothingAnswer(Answer):
    """Nothing but that it is done."""


class TicketBody(EdgeSchema):
    """What a seller says about a ticket."""

    title = Text(TITLE_PROBLEM, minimum=1, maximum=200, required=True)
    price_cents = Price(PRICE_PROBLEM, data_key="price", required=True)
    category = choice("Choose one of the categories.", CATEGORIES, load_default="other")
    venue = Text("Enter a venue of at most 200 characters.", maximum=200, allow_none=True, load_default=None)
    starts_at = Moment(
        "Enter when it starts as a time in UTC, like 2027-01-31T19:30:00Z.", allow_none=True, load_default=None
    )

    @post_load
    def forget_blank_venue(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Take an empty venue for none."""
        return {**data, "venue": data["venue"] or None}


class PageQuery(EdgeSchema):
    """Which page of a list."""

    limit = Whole("The limit must be from 1 to 100.", 1, 100, text=True, load_default=50)
    after = Plain("This page of the list no longer exists.", maximum=255, load_default=None)


class TicketQuery(PageQuery):
    """Which tickets, in which order."""

    status = choice("Choose on_sale, reserved, sold or all.", LISTED, load_default="on_sale")
    q = Text("Search for at most 200 characters.", maximum=200, load_default=None)
    category = choice("Choose one of the categories.", CATEGORIES, load_default=None)
    min_price_cents = Price(
        "Enter the lowest price like 5 or 19.99.", minimum_cents=0, data_key="min_price", load_default=None
    )
    max_price_cents = Price(
        "Enter the highest price like 50 or 19.99.", minimum_cents=0, data_key="max_price", load_default=None
    )
    sort = choice("Choose newest, price_asc or price_desc.", SORTS, load_default="newest")


class MineQuery(PageQuery):
    """Which of one's own tickets."""

    status = choice("Choose on_sale, reserved, sold, withdrawn or all.", MINE, load_default="all")


class TicketAnswer(Answer):
    """A ticket, as everybody sees it."""

    id = fields.String()
    title = fields.String()
    price_cents = Price("", data_key="price")
    currency = fields.String()
    category = one_of(CATEGORIES)
    venue = fields.String(allow_none=True)
    starts_at = fields.String(allow_none=True)
    seller_id = fields.String(data_key="userId")
    status = one_of(STATUSES)
    version = fields.Integer()
    created_at = fields.String()
    updated_at = fields.String()


class OrderBody(EdgeSchema):
    """Which ticket to reserve, and the version of it that the buyer saw."""

    ticket_id = Plain("Say which ticket: ticketId is missing.", required=True)
    version = Whole("The version must be a whole number from 1.", 1, 2**31, allow_none=True, load_default=None)


class OrderedTicket(Answer):
    """The ticket as it was when it was reserved."""

    id = fields.String()
    title = fields.String()
    price_cents = Price("", data_key="price")
    currency = fields.String()
    category = one_of(CATEGORIES)
    venue = fields.String(allow_none=True)
    starts_at = fields.String(allow_none=True)


class OrderAnswer(Answer):
    """An order, as its buyer sees it."""

    id = fields.String()
    status = one_of(ORDER_STATUSES)
    cancel_reason = one_of(CANCEL_REASONS, allow_none=True)
    buyer_id = fields.String(data_key="userId")
    expires_at = fields.String()
    ticket = fields.Nested(OrderedTicket)
    refunded_at = fields.String(allow_none=True)
    refunded_cents = Price("", minimum_cents=0, data_key="refundedAmount")
    version = fields.Integer()
    created_at = fields.String()
    updated_at = fields.String()


class PaymentBody(EdgeSchema):
    """Which order to pay, and with which card: a PaymentMethod's id or a card token."""

    order_id = Plain("Say which order: orderId is missing.", required=True)
    token = Plain("Choose a card.", minimum=1, required=True)


class PaymentAnswer(Answer):
    """A payment and whether its order is complete already."""

    id = fields.String()
    order_id = fields.String()
    stripe_id = fields.String(allow_none=True)
    status = one_of(PAYMENT_STATUSES)


class PaymentIntentAnswer(Answer):
    """What Stripe's card form in a browser needs to pay an order."""

    client_secret = fields.String()
    publishable_key = fields.String()


class Problem(EdgeSchema):
    """One thing that is wrong: a sentence for people, the field it is about, and what else there is to know."""

    message = fields.String(required=True)
    field = fields.String()
    price = fields.Float(metadata={"description": "The price now, after one that changed."})
    version = fields.Integer(allow_none=True, metadata={"description": "The version with this price."})
    decline_code = fields.String(allow_none=True, metadata={"description": "Why the bank declined the card."})
    remaining = fields.Integer(allow_none=True, metadata={"description": "How many more cards may be tried."})
    client_secret = fields.String(allow_none=True, metadata={"description": "With it the buyer confirms at the bank."})


class ErrorsAnswer(Answer):
    """Why the API refused."""

    errors = fields.List(fields.Nested(Problem))
