"""Bodies, responses and errors of each route of the API; path, method and summary come from the route itself."""

from dataclasses import dataclass

from gateway.checkout import PAY_SECONDS
from gateway.schemas import (
    ApiSchema,
    CurrentUserResponse,
    EmptyResponse,
    EventResponse,
    MineQuery,
    OrderBody,
    OrderResponse,
    PageQuery,
    PasswordBody,
    PaymentBody,
    PaymentIntentResponse,
    PaymentResponse,
    SellerResponse,
    SessionResponse,
    SignInBody,
    SignUpBody,
    TicketBody,
    TicketEditBody,
    TicketQuery,
    TicketResponse,
    UserResponse,
)

Schema = type[ApiSchema]

GROUPS = {
    "Users": "Sign up, sign in and out. The session is a cookie, which every later request sends along.",
    "Tickets": "Find tickets, events and sellers; sell, change and withdraw one's own tickets.",
    "Orders": "Reserve a ticket for a quarter of an hour, show the order, cancel it.",
    "Payments": "Pay an order by card.",
}


@dataclass(frozen=True)
class Operation:
    """One route. `response` None means no body, `many` one page of a list, `is_list` a whole one.

    `errors` are its statuses besides those that every route may have.
    """

    group: str
    status: int
    response: Schema | None
    many: bool = False
    is_list: bool = False
    body: Schema | None = None
    query: Schema | None = None
    errors: tuple[int, ...] = ()
    needs_session: bool = False
    description: str = ""


OPERATIONS = {
    "api_users.sign_up": Operation(
        "Users",
        201,
        UserResponse,
        body=SignUpBody,
        errors=(400, 429),
        description="After a 503 the account may exist already: try to sign in first.",
    ),
    "api_users.sign_in": Operation(
        "Users",
        200,
        UserResponse,
        body=SignInBody,
        errors=(400, 429),
        description="A user with an authenticator app needs a `code` of it, or a recovery code: without one it is "
        "refused (400) with an error at the field `code`, and no session begins.",
    ),
    "api_users.sign_out": Operation("Users", 200, EmptyResponse),
    "api_users.sign_out_everywhere": Operation("Users", 200, EmptyResponse, needs_session=True),
    "api_users.change_password": Operation(
        "Users",
        200,
        EmptyResponse,
        body=PasswordBody,
        errors=(400, 429),
        needs_session=True,
        description="All other sessions of the user end. A user with an authenticator app needs a `code` of it, or a "
        "recovery code.",
    ),
    "api_sessions.list_own": Operation(
        "Users", 200, SessionResponse, is_list=True, needs_session=True, description="At most 100."
    ),
    "api_sessions.end": Operation(
        "Users",
        204,
        None,
        errors=(404,),
        needs_session=True,
        description="Effective everywhere from the moment that it is answered. One's own session may be ended, too.",
    ),
    "api_users.current": Operation("Users", 200, CurrentUserResponse),
    "api_tickets.create": Operation(
        "Tickets",
        201,
        TicketResponse,
        body=TicketBody,
        errors=(400,),
        needs_session=True,
        description="It starts at most ten years from now, and not in the past. The same Idempotency-Key returns the "
        "same ticket again; with another body it is refused (400).",
    ),
    "api_tickets.list_all": Operation(
        "Tickets",
        200,
        TicketResponse,
        many=True,
        query=TicketQuery,
        errors=(400,),
        description="What is on sale has not started. Each word of `q` begins a word of the title, the venue or its "
        "city, without case, accents and apostrophes; in scripts without spaces, any part of the text is found. A page "
        "is short, or empty, when few of the tickets that were looked through for it match; the next page continues "
        "from there. Where no ticket has a word, those are found that have one with a letter less, more or different.",
    ),
    "api_tickets.list_mine": Operation(
        "Tickets",
        200,
        TicketResponse,
        many=True,
        query=MineQuery,
        errors=(400,),
        needs_session=True,
        description="What nobody bought before it started is `started`, no longer `on_sale`.",
    ),
    "api_tickets.get": Operation("Tickets", 200, TicketResponse, errors=(404,)),
    "api_tickets.update": Operation(
        "Tickets",
        200,
        TicketResponse,
        body=TicketEditBody,
        errors=(400, 404, 409),
        needs_session=True,
        description="Only its seller may, and only while it is neither reserved, sold nor withdrawn. A start in the "
        "past may be kept, not entered. Seat, city and time zone stay as they are if they are left out, and null "
        "removes them; all else is replaced. With another title, venue or start it is a ticket for another event "
        "(`eventId`). With the `version` that the seller saw, or its ETag in If-Match, a ticket that was edited since "
        "is left as it is (409); that somebody held it meanwhile is no conflict.",
    ),
    "api_tickets.withdraw": Operation(
        "Tickets",
        204,
        None,
        errors=(400, 404, 409),
        needs_session=True,
        description="Only its seller may, and only while it is neither reserved nor sold. It stays readable. With its "
        "ETag in If-Match, a ticket that was edited since is left as it is (409).",
    ),
    "api_events.get": Operation(
        "Tickets",
        200,
        EventResponse,
        errors=(404,),
        description="Its id is the `eventId` of its tickets. It is there as long as a ticket says so, sold ones too.",
    ),
    "api_events.list_tickets": Operation("Tickets", 200, TicketResponse, many=True, query=PageQuery, errors=(400, 404)),
    "api_sellers.get": Operation(
        "Tickets",
        200,
        SellerResponse,
        errors=(404,),
        description="Their id is the `userId` of their tickets; a user who has never listed one is not found.",
    ),
    "api_orders.create": Operation(
        "Orders",
        201,
        OrderResponse,
        body=OrderBody,
        errors=(400, 404, 409, 429),
        needs_session=True,
        description="With the `version` of the ticket that the buyer saw, or its `revision`, a changed price is "
        "refused (409) with the new one. The same Idempotency-Key returns the same order again; with another ticket it "
        "is refused (400). Too many unpaid reservations, at once or within an hour, are refused (429).",
    ),
    "api_orders.list_mine": Operation(
        "Orders", 200, OrderResponse, many=True, query=PageQuery, errors=(400,), needs_session=True
    ),
    "api_orders.get": Operation("Orders", 200, OrderResponse, errors=(403, 404), needs_session=True),
    "api_orders.extend": Operation(
        "Orders",
        200,
        OrderResponse,
        errors=(404, 409),
        needs_session=True,
        description="By five minutes, in the last two minutes before `expiresAt`, and not beyond the start of what the "
        "ticket is for. Refused (409) before and after that, and once it is being paid or has ended.",
    ),
    "api_orders.cancel": Operation(
        "Orders",
        204,
        None,
        errors=(404, 409),
        needs_session=True,
        description="Refused (409) once it is paid or being paid.",
    ),
    "api_payments.create": Operation(
        "Payments",
        201,
        PaymentResponse,
        body=PaymentBody,
        errors=(400, 402, 404, 409, 429),
        needs_session=True,
        description="`token` is a Stripe PaymentMethod's id or a card token. Waits up to "
        f"{PAY_SECONDS:.0f} seconds for Stripe. Five seconds after the request, or once Stripe has answered if that is "
        "later, a payment whose order is not complete is `confirming`. Paying again returns the same payment.",
    ),
    "api_payments.create_intent": Operation(
        "Payments",
        200,
        PaymentIntentResponse,
        errors=(402, 404, 409, 429),
        needs_session=True,
        description="For Stripe's own card form.",
    ),
}
HIDDEN = {"api_webhooks.receive": "Stripe's alone", "openapi.document": "this description", "openapi.page": "this page"}
"""Routes under /api that are not part of the API, and why."""
