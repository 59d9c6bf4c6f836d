"""PaymentMethods and card tokens: a card, checked and named by an id."""

import datetime
from typing import Any

from dev.fake_stripe import cards
from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import StripeError, invalid, missing, not_emulated
from dev.fake_stripe.objects import merge_metadata, new_id, now
from dev.fake_stripe.state import Document

BILLING = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}
REUSED = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. "
    "To use a PaymentMethod multiple times, you must attach it to a Customer first."
)


def create(call: Call) -> Document:
    """Make a PaymentMethod from a card's number or from a card token."""
    return make(call, call.params)


def make(call: Call, params: dict[str, Any], path: str = "") -> Document:
    """Store a PaymentMethod of this `payment_method_data`; `path` names it in refusals."""
    if params.get("type", "card") != "card":
        raise not_emulated(f"payment methods of type {params['type']}")
    card = params.get("card")
    if not card:
        raise invalid(
            "Missing required param: card.", param=f"{path}[card]" if path else "card", code="parameter_missing"
        )
    method = _blank(_number(call, card), card)
    method["billing_details"] = {**BILLING, **params.get("billing_details", {})}
    method["billing_details"]["address"] = {**ADDRESS, **(method["billing_details"]["address"] or {})}
    method["metadata"] = merge_metadata({}, params.get("metadata"))
    call.state.add(method)
    return method


def _number(call: Call, card: dict[str, Any]) -> str:
    if "token" in card:
        return _redeemed(call, card["token"])
    _check(card)
    return str(card["number"])


def _check(card: dict[str, Any]) -> None:
    """Refuse cards that Stripe refuses before any bank is asked."""
    for name in ("number", "exp_month", "exp_year"):
        if name not in card:
            raise invalid(f"Missing required param: card[{name}].", param=f"card[{name}]", code="parameter_missing")
    brand = cards.by_number(card["number"]).brand
    today = datetime.datetime.now(datetime.UTC).date()
    year = card["exp_year"] if card["exp_year"] > 99 else 2000 + card["exp_year"]
    cvc = str(card.get("cvc", "1234" if brand == "amex" else "123"))
    if not cards.is_plausible(card["number"]):
        raise _wrong("number", "incorrect_number", "Your card number is incorrect.")
    if not 1 <= card["exp_month"] <= 12:
        raise _wrong("exp_month", "invalid_expiry_month", "Your card's expiration month is invalid.")
    if not today.year <= year <= today.year + 50:
        raise _wrong("exp_year", "invalid_expiry_year", "Your card's expiration year is invalid.")
    if (year, card["exp_month"]) < (today.year, today.month):
        raise _wrong("exp_month", "invalid_expiry_month", "Your card's expiration month is invalid.")
    if not (cvc.isdigit() and len(cvc) in ((3, 4) if brand == "amex" else (3,))):
        raise _wrong("cvc", "invalid_cvc", "Your card's security code is invalid.")


def _wrong(param: str, code: str, message: str) -> StripeError:
    return StripeError(402, "card_error", message, param=param, code=code)


def _redeemed(call: Call, token: str) -> str:
    """Return the number behind a token; one made with /v1/tokens works once, the test tokens always."""
    if card := cards.by_id(token, "tok_"):
        return card.number
    stored = call.find("token", token)
    if stored is None:
        raise missing("token", token, "card[token]")
    if stored["used"]:
        raise invalid(
            f"You cannot use a Stripe token more than once: {token}.", param="card[token]", code="token_already_used"
        )
    call.state.save({**stored, "used": True})
    return str(stored["_number"])


def _blank(number: str, card: dict[str, Any]) -> Document:
    known = cards.by_number(number)
    year = card.get("exp_year", now() // 31_556_952 + 1971)
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {},
        "card": {
            "brand": known.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "unchecked"},
            "country": "US",
            "display_brand": known.brand,
            "exp_month": card.get("exp_month", 12),
            "exp_year": year if year > 99 else 2000 + year,
            "fingerprint": f"fake{abs(int(number)) % 10**12:012d}",
            "funding": known.funding,
            "generated_from": None,
            "last4": number[-4:],
            "networks": {"available": [known.brand], "preferred": None},
            "three_d_secure_usage": {"supported": known.brand != "amex"},
            "wallet": None,
        },
        "created": now(),
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
        "_number": number,
        "_used_by": None,
    }


def usable(call: Call, id: str, intent_id: str | None = None) -> Document:
    """Return the PaymentMethod to pay with; a well known `pm_card_…` becomes a new one, a spent one is refused."""
    if card := cards.by_id(id, "pm_card_"):
        method = _blank(card.number, {})
        method["billing_details"] = {**BILLING, "address": dict(ADDRESS)}
        call.state.add(method)
        return method
    found = call.find("payment_method", id)
    if found is None:
        raise StripeError(
            400,
            "invalid_request_error",
            f"No such PaymentMethod: '{id}'",
            param="payment_method",
            code="resource_missing",
        )
    if found["_used_by"] not in (None, intent_id):
        raise invalid(REUSED, param="payment_method")
    return found


def retrieve(call: Call, id: str) -> Document:
    """Return one PaymentMethod."""
    found = usable(call, id) if cards.by_id(id, "pm_card_") else call.find("payment_method", id)
    if found is None:
        raise missing("PaymentMethod", id, "payment_method", in_url=True)
    return found


def create_token(call: Call) -> Document:
    """Make a token that turns into a PaymentMethod once."""
    card = call.params.get("card")
    if not isinstance(card, dict):
        raise not_emulated("tokens of anything but a card's number")
    card = {name: int(text) if name.startswith("exp_") else text for name, text in card.items()}
    _check(card)
    shape = _blank(str(card["number"]), card)["card"]
    token = {
        "id": new_id("tok"),
        "object": "token",
        "card": {
            "id": new_id("card"),
            "object": "card",
            **{k: shape[k] for k in ("brand", "exp_month", "exp_year", "funding", "last4")},
        },
        "client_ip": "127.0.0.1",
        "created": now(),
        "livemode": False,
        "type": "card",
        "used": False,
        "_number": str(card["number"]),
    }
    call.state.add(token)
    return token


def retrieve_token(call: Call, id: str) -> Document:
    """Return one token."""
    found = call.find("token", id)
    if found is None:
        raise missing("token", id, "token", in_url=True)
    return found
