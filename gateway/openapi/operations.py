"""What each route of the API takes, answers and refuses; its path, method and summary come from the route itself."""

from dataclasses import dataclass

from gateway.schemas import (
    CurrentUserAnswer,
    EdgeSchema,
    MineQuery,
    NothingAnswer,
    OrderAnswer,
    OrderBody,
    PageQuery,
    PasswordBody,
    PaymentAnswer,
    PaymentBody,
    PaymentIntentAnswer,
    SignInBody,
    SignUpBody,
    TicketAnswer,
    TicketBody,
    TicketQuery,
    UserAnswer,
)

Schema = type[EdgeSchema]

GROUPS = {
    "Users": "Sign up, sign in and out. The session is a cookie, which every later call sends along.",
    "Tickets": "Find tickets; list, change and withdraw one's own.",
    "Orders": "Reserve a ticket for a quarter of an hour, look at it, give it back.",
    "Payments": "Pay an order by card.",
}


@dataclass(frozen=True)
class Operation:
    """One route. `answer` None means no body; `refusals` are the statuses beside those that every route may answer."""

    group: str
    status: int
    answer: Schema | None
    many: bool = False
    body: Schema | None = None
    query: Schema | None = None
    refusals: tuple[int, ...] = ()
    signed_in: bool = False
    more: str = ""


OPERATIONS = {
    "api_users.sign_up": Operation("Users", 201, UserAnswer, body=SignUpBody, refusals=(400, 429)),
    "api_users.sign_in": Operation("Users", 200, UserAnswer, body=SignInBody, refusals=(400, 429)),
    "api_users.sign_out": Operation("Users", 200, NothingAnswer),
    "api_users.sign_out_everywhere": Operation("Users", 200, NothingAnswer, signed_in=True),
    "api_users.change_password": Operation(
        "Users", 200, NothingAnswer, body=PasswordBody, refusals=(400, 429), signed_in=True
    ),
    "api_users.current": Operation("Users", 200, CurrentUserAnswer),
    "api_tickets.create": Operation("Tickets", 201, TicketAnswer, body=TicketBody, refusals=(400,), signed_in=True),
    "api_tickets.list_all": Operation(
        "Tickets",
        200,
        TicketAnswer,
        many=True,
        query=TicketQuery,
        refusals=(400,),
        more="Each word of `q` begins a word of the title or the venue. A page is short, or empty, when few of the "
        "tickets that were looked through for it match; the next page goes on from there.",
    ),
    "api_tickets.list_mine": Operation(
        "Tickets", 200, TicketAnswer, many=True, query=MineQuery, refusals=(400,), signed_in=True
    ),
    "api_tickets.get": Operation("Tickets", 200, TicketAnswer, refusals=(404,)),
    "api_tickets.update": Operation(
        "Tickets",
        200,
        TicketAnswer,
        body=TicketBody,
        refusals=(400, 404, 409),
        signed_in=True,
        more="Only its seller may, and only while it is neither reserved, sold nor withdrawn.",
    ),
    "api_tickets.withdraw": Operation(
        "Tickets",
        204,
        None,
        refusals=(404, 409),
        signed_in=True,
        more="Only its seller may, and only while it is neither reserved nor sold. It stays readable.",
    ),
    "api_orders.create": Operation(
        "Orders",
        201,
        OrderAnswer,
        body=OrderBody,
        refusals=(400, 404, 409),
        signed_in=True,
        more="With the `version` of the ticket that the buyer saw, a changed price is refused (409) and told. "
        "The same Idempotency-Key gives the same order again; with another ticket it is refused (400).",
    ),
    "api_orders.list_mine": Operation(
        "Orders", 200, OrderAnswer, many=True, query=PageQuery, refusals=(400,), signed_in=True
    ),
    "api_orders.get": Operation("Orders", 200, OrderAnswer, refusals=(403, 404), signed_in=True),
    "api_orders.cancel": Operation(
        "Orders", 204, None, refusals=(404, 409), signed_in=True, more="Refused (409) once it is paid or being paid."
    ),
    "api_payments.create": Operation(
        "Payments",
        201,
        PaymentAnswer,
        body=PaymentBody,
        refusals=(400, 402, 404, 409),
        signed_in=True,
        more="`token` is a Stripe PaymentMethod's id or a card token. Waits up to five seconds for the outcome; "
        "paying again returns the same payment.",
    ),
    "api_payments.create_intent": Operation(
        "Payments", 200, PaymentIntentAnswer, refusals=(404, 409), signed_in=True, more="For Stripe's own card form."
    ),
}
HIDDEN = {"api_webhooks.receive": "Stripe's alone", "openapi.document": "this description", "openapi.page": "this page"}
"""Routes under /api that are no part of the API, and why."""
