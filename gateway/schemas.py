"""Requests and responses of the JSON API: camelCase outside, snake_case inside. Forms use the same schemas."""

from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validates_schema
from marshmallow.validate import OneOf

from gateway.fields import (
    Day,
    Integer,
    Price,
    PricedSchema,
    PriceFilter,
    StorableString,
    TrimmedString,
    UnvalidatedText,
    UnvalidatedTexts,
    error_messages,
)
from gateway.formats import as_of_now
from gateway.languages import N_
from libs.contracts import limits
from libs.contracts.limits import CATEGORIES, LISTED, MAXIMUM_PAGE, MAXIMUM_SEARCH, MAXIMUM_VERSION

STATUSES = ("on_sale", "started", "reserved", "sold", "withdrawn")
MINE = (*STATUSES, "all")
ORDER_STATUSES = ("created", "awaiting_payment", "complete", "cancelled")
CANCEL_REASONS = ("buyer", "expired", "payment_failed", "operator")
PAYMENT_STATUSES = ("complete", "confirming")
NEW_PASSWORD = {"type": "string", "minLength": limits.MINIMUM_PASSWORD, "maxLength": limits.MAXIMUM_PASSWORD}
CURRENT_PASSWORD = {"type": "string", "minLength": 1, "maxLength": limits.MAXIMUM_CURRENT_PASSWORD}
SENT_AS_THEY_ARE = {fields.String, fields.Integer, fields.Boolean}
SORTS = ("newest", "soonest", "price_asc", "price_desc")


class ApiSchema(Schema):
    """Names fields in camelCase outside, unless they have a `data_key`; ignores unknown ones."""

    class Meta:
        """Marshmallow's options."""

        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Name the field in camelCase outside."""
        first, *rest = field_name.split("_")
        field_obj.data_key = field_obj.data_key or first + "".join(word.capitalize() for word in rest)


class ResponseSchema(ApiSchema):
    """A response: every field is always present, null when it has no value.

    Values come from services and have the fields' types already, so sending them only means selecting and renaming;
    marshmallow, which inspects each value of each field, takes ten times as long.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sent = [
            (name, field.data_key or name, None if type(field) in SENT_AS_THEY_ARE else field._serialize)
            for name, field in self.dump_fields.items()
        ]

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return a dictionary, or with `many` each of a list, as it is sent; missing fields are left out."""
        is_list = self.many if many is None else many
        return [self._dump(each) for each in obj] if is_list else self._dump(obj)

    def _dump(self, given: dict[str, Any]) -> dict[str, Any]:
        return {
            key: given[name] if write is None else write(given[name], name, given)
            for name, key, write in self._sent
            if name in given
        }


def choice(problem: str, values: tuple[str, ...], **options: Any) -> fields.String:
    """Return a field of a request that takes one of `values`."""
    return fields.String(validate=OneOf(values, error=problem), error_messages=error_messages(problem), **options)


def one_of(values: tuple[str, ...], **options: Any) -> fields.String:
    """Return a field of a response that holds one of `values`."""
    return fields.String(validate=OneOf(values), **options)


def text_of(minimum: int, maximum: int) -> dict[str, Any]:
    """Return the JSON Schema of a text that is not blank, of so many characters."""
    return {"type": "string", "minLength": minimum, "maxLength": maximum, "pattern": r"\S"}


class SignUpBody(ApiSchema):
    """A new user's email and password."""

    email = UnvalidatedText(text_of(3, limits.MAXIMUM_EMAIL), required=True)
    password = UnvalidatedText(NEW_PASSWORD, required=True)


class SignInBody(ApiSchema):
    """A user's email and password."""

    email = TrimmedString("Enter your email address.", minimum=1, required=True)
    password = StorableString("Enter your password.", minimum=1, maximum=1024, required=True)
    code = StorableString("Enter the code as text.", maximum=64, load_default=None)


class CodeBody(ApiSchema):
    """A code of the user's authenticator app, or a recovery code."""

    code = TrimmedString("Enter the code.", minimum=1, maximum=64, required=True)


class ConfirmationBody(ApiSchema):
    """The user's password, and a code, if the user has an authenticator app."""

    password = StorableString("Enter your password.", maximum=1024, data_key="currentPassword")
    code = TrimmedString("Enter the code.", maximum=64)


class AuthenticatorBody(CodeBody):
    """The set-up of an authenticator app, and its present code."""

    setup = StorableString("Begin again.", maximum=1024, required=True)


class PasskeyAnswerBody(ApiSchema):
    """The answer of a passkey, as JSON."""

    answer = StorableString("Your browser sent no passkey.", minimum=1, maximum=limits.MAXIMUM_ANSWER, required=True)


class PasskeyBody(PasskeyAnswerBody):
    """A new passkey and its name."""

    name = UnvalidatedText(text_of(1, limits.MAXIMUM_PASSKEY_NAME), required=True)


class NameBody(ApiSchema):
    """The name by which buyers know a user."""

    name = UnvalidatedText({"type": ["string", "null"], "maxLength": limits.MAXIMUM_NAME}, required=True)


class PasskeyIdBody(ApiSchema):
    """One of the user's passkeys."""

    passkey_id = StorableString("Choose a passkey.", maximum=limits.MAXIMUM_PASSKEY_ID, required=True)


class PasswordBody(ApiSchema):
    """A user's current password and the new one."""

    current = UnvalidatedText(CURRENT_PASSWORD, data_key="currentPassword", required=True)
    new = UnvalidatedText(NEW_PASSWORD, data_key="newPassword", required=True)
    code = StorableString("Enter the code as text.", maximum=64)


class UserResponse(ResponseSchema):
    """A user, as shown to themselves."""

    id = fields.String()
    email = fields.String()


class SessionResponse(ResponseSchema):
    """A session of the user: on which device, from where, when."""

    id = fields.String()
    device = fields.String(metadata={"description": "Browser and system, or another program."})
    address = fields.String(metadata={"description": "The network address that it was last used from."})
    started_at = fields.String()
    used_at = fields.String(
        data_key="lastUsedAt", metadata={"description": "When it was last used, give or take some minutes."}
    )
    expires_at = fields.String()
    current = fields.Boolean(metadata={"description": "Whether it is the one of this request."})


class CurrentUserResponse(ResponseSchema):
    """The user who is signed in, or null."""

    current_user = fields.Nested(UserResponse, allow_none=True)


class EmptyResponse(ResponseSchema):
    """An empty object."""


def optional_text(maximum: int) -> dict[str, Any]:
    """Return the JSON Schema of a text of so many characters, or null."""
    return {"type": ["string", "null"], "maxLength": maximum}


BY_DEFAULT_NULL = {"default": None}
CITY = optional_text(limits.MAXIMUM_CITY)
SEAT = {
    "type": ["object", "null"],
    "properties": {part: optional_text(limits.MAXIMUM_SEAT) | BY_DEFAULT_NULL for part in limits.SEAT_PARTS},
    "description": "Where the holder sits: section, row and seat, or some of them. Without any, they choose a place "
    "(general admission).",
}
TIME_ZONE = {
    "type": ["string", "null"],
    "examples": ["Europe/Berlin"],
    "description": "The venue's time zone, by its IANA name; it is kept only together with a start.",
}


class TicketBody(PricedSchema, ApiSchema):
    """The details of a ticket, as its seller enters them."""

    title = UnvalidatedText(text_of(1, limits.MAXIMUM_TITLE), required=True)
    price_cents = Price(data_key="price", required=True)
    category = UnvalidatedText({"type": "string", "enum": list(CATEGORIES), "default": "other"})
    venue = UnvalidatedText(optional_text(limits.MAXIMUM_VENUE) | BY_DEFAULT_NULL)
    city = UnvalidatedText(CITY | BY_DEFAULT_NULL)
    starts_at = UnvalidatedText({"type": ["string", "null"], "format": "date-time"} | BY_DEFAULT_NULL)
    time_zone = UnvalidatedText(TIME_ZONE | BY_DEFAULT_NULL)
    seat = UnvalidatedTexts(SEAT | BY_DEFAULT_NULL)


def version_field() -> Integer:
    """Return the field with a ticket's version, which may be missing."""
    problem = "The version must be a whole number from 1."
    return Integer(problem, 1, MAXIMUM_VERSION, allow_none=True, load_default=None)


class TicketEditBody(TicketBody):
    """The details of a listed ticket, and the version of it that the seller saw.

    City, time zone and seat have no default: what is left out stays as it is.
    """

    city = UnvalidatedText(CITY)
    time_zone = UnvalidatedText(TIME_ZONE)
    seat = UnvalidatedTexts(SEAT)
    version = version_field()


class PageQuery(ApiSchema):
    """The page of a list."""

    limit = Integer(f"The limit must be from 1 to {MAXIMUM_PAGE}.", 1, MAXIMUM_PAGE, text=True, load_default=50)
    after = StorableString("This page of the list no longer exists.", maximum=255, load_default=None)


class TicketQuery(PricedSchema, PageQuery):
    """Filters and order of the tickets."""

    status = choice(
        "Choose on_sale, reserved, unsold, sold or all.",
        LISTED,
        load_default="on_sale",
        metadata={"description": "unsold: on_sale and reserved."},
    )
    q = TrimmedString(f"Search for at most {MAXIMUM_SEARCH} characters.", maximum=MAXIMUM_SEARCH, load_default=None)
    category = choice("Choose one of the categories.", CATEGORIES, load_default=None)
    min_price_cents = PriceFilter("Enter the lowest price like {example}.", data_key="min_price", load_default=None)
    max_price_cents = PriceFilter("Enter the highest price like {example}.", data_key="max_price", load_default=None)
    place = TrimmedString(
        f"Search for at most {MAXIMUM_SEARCH} characters.",
        maximum=MAXIMUM_SEARCH,
        load_default=None,
        metadata={"description": "Each word begins a word of the venue or its city."},
    )
    starts_from = Day(
        data_key="from",
        load_default=None,
        metadata={
            "description": "Starts on this day or later, in the venue's time zone, or in the site's if that is unknown."
        },
    )
    starts_before = Day(
        is_over=True, data_key="to", load_default=None, metadata={"description": "Starts on this day or earlier."}
    )
    sort = choice(
        "Choose newest, soonest, price_asc or price_desc.",
        SORTS,
        load_default=None,
        metadata={"description": "By default newest, or soonest between days. What has no start comes last."},
    )

    @validates_schema
    def _is_in_order(self, query: dict[str, Any], **_: Any) -> None:
        lowest, highest = query.get("min_price_cents"), query.get("max_price_cents")
        if lowest is not None and highest is not None and lowest > highest:
            raise ValidationError(N_("The highest price is below the lowest."), "max_price")
        begin, end = query.get("starts_from"), query.get("starts_before")
        if begin is not None and end is not None and begin >= end:
            raise ValidationError(N_("The last day is before the first."), "to")

    @post_load
    def _sort(self, query: dict[str, Any], **_: Any) -> dict[str, Any]:
        has_days = query["starts_from"] or query["starts_before"]
        return {**query, "sort": query["sort"] or ("soonest" if has_days else "newest")}


class MineQuery(PageQuery):
    """A filter of one's own tickets."""

    status = choice("Choose on_sale, started, reserved, sold, withdrawn or all.", MINE, load_default="all")


class SeatResponse(ResponseSchema):
    """Where the holder of a ticket sits; all three are null where they choose a place."""

    section = fields.String(allow_none=True)
    row = fields.String(allow_none=True)
    seat = fields.String(allow_none=True)


class TicketResponse(ResponseSchema):
    """A ticket, as shown to everybody."""

    id = fields.String()
    title = fields.String()
    price_cents = Price(data_key="price")
    currency = fields.String()
    category = one_of(CATEGORIES)
    venue = fields.String(allow_none=True)
    city = fields.String(allow_none=True)
    starts_at = fields.String(allow_none=True)
    time_zone = fields.String(allow_none=True, metadata={"description": "Of the venue, where it is known."})
    seat = fields.Nested(SeatResponse, allow_none=True, metadata={"description": "Null where nothing is known of it."})
    event_id = fields.String(
        allow_none=True, metadata={"description": "The same for all tickets with this title, venue and start."}
    )
    seller_id = fields.String(data_key="userId")
    status = one_of(STATUSES)
    version = fields.Integer()
    revision = fields.Integer(metadata={"description": "The version in which its seller last changed it."})
    created_at = fields.String()
    updated_at = fields.String()

    def _dump(self, given: dict[str, Any]) -> dict[str, Any]:
        return super()._dump(as_of_now(given))


class EventResponse(ResponseSchema):
    """An event: the details that its tickets share, and how many of them there are."""

    event_id = fields.String(data_key="id")
    title = fields.String()
    category = one_of(CATEGORIES)
    venue = fields.String(allow_none=True)
    city = fields.String(allow_none=True)
    starts_at = fields.String(allow_none=True)
    time_zone = fields.String(allow_none=True, metadata={"description": "Of the venue, where it is known."})
    on_sale = fields.Integer(metadata={"description": "How many of its tickets are on sale."})
    reserved = fields.Integer()
    sold = fields.Integer()
    lowest_price_cents = Price(
        data_key="lowestPrice",
        allow_none=True,
        metadata={"description": "Of what is on sale; null if nothing is."},
    )
    currency = fields.String()


class SellerResponse(ResponseSchema):
    """A user as buyers know them."""

    id = fields.String()
    name = fields.String(allow_none=True, metadata={"description": "The name that they chose, if they chose one."})
    member_since = fields.String(metadata={"description": "The month, in UTC.", "pattern": "^[0-9]{4}-[0-9]{2}$"})
    sold = fields.Integer(metadata={"description": "How many tickets they have sold, at most a minute ago."})


class OrderBody(ApiSchema):
    """The ticket to reserve, and the version of it that the buyer saw."""

    ticket_id = StorableString("Give the id of the ticket as ticketId.", required=True)
    version = version_field()


class TicketSnapshot(ResponseSchema):
    """The ticket as it was when it was reserved."""

    id = fields.String()
    title = fields.String()
    price_cents = Price(data_key="price")
    currency = fields.String()
    category = one_of(CATEGORIES)
    venue = fields.String(allow_none=True)
    city = fields.String(allow_none=True)
    starts_at = fields.String(allow_none=True)
    time_zone = fields.String(allow_none=True)
    seat = fields.Nested(SeatResponse, allow_none=True)


class OrderResponse(ResponseSchema):
    """An order, as shown to its buyer."""

    id = fields.String()
    status = one_of(ORDER_STATUSES)
    cancel_reason = one_of(CANCEL_REASONS, allow_none=True)
    buyer_id = fields.String(data_key="userId")
    expires_at = fields.String()
    is_extendable = fields.Boolean(
        metadata={"description": "Whether the time to pay may still be extended, in its last two minutes."}
    )
    ticket = fields.Nested(TicketSnapshot)
    refunded_at = fields.String(allow_none=True)
    refunded_cents = Price(may_be_0=True, data_key="refundedAmount")
    version = fields.Integer()
    created_at = fields.String()
    updated_at = fields.String()


class PaymentBody(ApiSchema):
    """The order to pay, and the card: a PaymentMethod's id or a card token."""

    order_id = StorableString("Give the id of the order as orderId.", required=True)
    token = StorableString("Choose a card.", minimum=1, required=True)


class PaymentResponse(ResponseSchema):
    """A payment, and whether its order is complete already."""

    id = fields.String()
    order_id = fields.String()
    stripe_id = fields.String(allow_none=True)
    status = one_of(PAYMENT_STATUSES)


class PaymentIntentResponse(ResponseSchema):
    """The data that Stripe's card form in a browser needs to pay an order."""

    client_secret = fields.String()
    publishable_key = fields.String()


class Problem(ApiSchema):
    """One error: a message for people, the field that it is about, and details."""

    message = fields.String(required=True)
    field = fields.String()
    price = fields.Float(metadata={"description": "The price now, after one that changed."})
    version = fields.Integer(allow_none=True, metadata={"description": "The version of the ticket now."})
    order_id = fields.String(allow_none=True, metadata={"description": "The order by which the user has the ticket."})
    decline_code = fields.String(allow_none=True, metadata={"description": "Why the bank declined the card."})
    remaining = fields.Integer(allow_none=True, metadata={"description": "How many more cards may be tried."})
    client_secret = fields.String(allow_none=True, metadata={"description": "With it the buyer confirms at the bank."})


class ErrorsResponse(ResponseSchema):
    """The errors of a refused request."""

    errors = fields.List(fields.Nested(Problem))
