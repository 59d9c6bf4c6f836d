"""The API's routes: method, path, handler, the parameters it takes, and whether a publishable key may call it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import stripe

from dev.fake_stripe import charges, disputes, events, intents, payment_methods, refunds, search
from dev.fake_stripe.state import Document

CARD_DATA = stripe.params.PaymentMethodCreateParams
BY_STRIPE_JS = {"client_secret": str, "expected_payment_method_type": str}


@dataclass(frozen=True)
class Route:
    """One route; `extra` are parameters that Stripe takes from Stripe.js, and which its library does not declare."""

    method: str
    path: str
    handler: Callable[..., Document]
    parameters: type
    publishable: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def _of(path: str, *routes: tuple[str, str, Callable[..., Document], type]) -> list[Route]:
    return [Route(method, path + rest, handler, parameters) for method, rest, handler, parameters in routes]


ROUTES = [
    *_of(
        "/v1/payment_intents",
        ("POST", "", intents.create, stripe.params.PaymentIntentCreateParams),
        ("GET", "", intents.list_intents, stripe.params.PaymentIntentListParams),
        ("GET", "/search", search.search_intents, stripe.params.PaymentIntentSearchParams),
        ("POST", "/<id>", intents.update, stripe.params.PaymentIntentModifyParams),
        ("POST", "/<id>/capture", intents.capture, stripe.params.PaymentIntentCaptureParams),
        ("POST", "/<id>/cancel", intents.cancel, stripe.params.PaymentIntentCancelParams),
    ),
    Route(
        "GET", "/v1/payment_intents/<id>", intents.retrieve, stripe.params.PaymentIntentRetrieveParams, publishable=True
    ),
    Route(
        "POST",
        "/v1/payment_intents/<id>/confirm",
        intents.confirm,
        stripe.params.PaymentIntentConfirmParams,
        publishable=True,
        extra=BY_STRIPE_JS,
    ),
    Route(
        "POST", "/v1/payment_methods", payment_methods.create, stripe.params.PaymentMethodCreateParams, publishable=True
    ),
    Route("POST", "/v1/tokens", payment_methods.create_token, stripe.params.TokenCreateParams, publishable=True),
    *_of("/v1/payment_methods", ("GET", "/<id>", payment_methods.retrieve, stripe.params.PaymentMethodRetrieveParams)),
    *_of("/v1/tokens", ("GET", "/<id>", payment_methods.retrieve_token, stripe.params.TokenRetrieveParams)),
    *_of(
        "/v1/charges",
        ("GET", "", charges.list_charges, stripe.params.ChargeListParams),
        ("GET", "/<id>", charges.retrieve, stripe.params.ChargeRetrieveParams),
    ),
    *_of(
        "/v1/refunds",
        ("POST", "", refunds.create, stripe.params.RefundCreateParams),
        ("GET", "", refunds.list_refunds, stripe.params.RefundListParams),
        ("GET", "/<id>", refunds.retrieve, stripe.params.RefundRetrieveParams),
    ),
    *_of(
        "/v1/disputes",
        ("GET", "", disputes.list_disputes, stripe.params.DisputeListParams),
        ("GET", "/<id>", disputes.retrieve, stripe.params.DisputeRetrieveParams),
    ),
    *_of(
        "/v1/events",
        ("GET", "", events.list_events, stripe.params.EventListParams),
        ("GET", "/<id>", events.retrieve, stripe.params.EventRetrieveParams),
    ),
]
