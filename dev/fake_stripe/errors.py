"""Stripe's refusals: status, type, code and message, in the shape that its libraries parse."""

from typing import Any


class StripeError(Exception):
    """A refusal; `executed`: the endpoint had begun, so its changes and this reply are kept (and replayed)."""

    def __init__(self, status: int, kind: str, message: str, *, executed: bool = False, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.error = {"type": kind, "message": message, **{k: v for k, v in details.items() if v is not None}}
        if code := self.error.get("code"):
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{str(code).replace('_', '-')}"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of the refusal."""
        return {"error": self.error}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A request that fails validation (400): nothing happened, nothing is kept."""
    return StripeError(400, "invalid_request_error", message, param=param, code=code)


def missing(noun: str, id: str, param: str, in_url: bool = False) -> StripeError:
    """An id that names nothing: 404 in the address, 400 in a parameter."""
    status = 404 if in_url else 400
    return StripeError(status, "invalid_request_error", f"No such {noun}: '{id}'", param=param, code="resource_missing")


def not_emulated(what: str) -> StripeError:
    """A feature of Stripe that this stand-in lacks: refused rather than ignored."""
    return invalid(f"The fake Stripe does not emulate {what}.", param=what, code="fake_stripe_not_emulated")


def unexpected_state(message: str, intent: dict[str, Any]) -> StripeError:
    """The PaymentIntent's status forbids the call (400)."""
    return StripeError(
        400,
        "invalid_request_error",
        message,
        executed=True,
        code="payment_intent_unexpected_state",
        payment_intent=intent,
    )


def unauthorized(message: str, code: str | None = None) -> StripeError:
    """No key, a wrong key, or a key that may not do this (401)."""
    return StripeError(401, "invalid_request_error", message, code=code)
