"""What payments refuses, and Stripe's failures, as errors whose names its callers know."""

from typing import Any


class DomainError(Exception):
    """What the caller asked for is against a rule; the message is a sentence for the user."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class OrderNotFound(DomainError):
    """There is no such order."""


class PaymentNotFound(DomainError):
    """Nobody has begun to pay this order."""


class NotOwner(DomainError):
    """The order is somebody else's."""


class OrderCancelled(DomainError):
    """The order was cancelled or has expired; nothing was charged."""


class PaymentDeclined(DomainError):
    """The card was declined; details say decline_code and how many tries remain."""


class AuthenticationRequired(DomainError):
    """The bank wants to ask the buyer (3-D Secure); details say client_secret."""


class PaymentInProgress(DomainError):
    """It is not known yet what came of another card that was tried for this order."""


class InvalidCard(DomainError):
    """The token is not one of a card."""


class InvalidSignature(DomainError):
    """The webhook is not one that Stripe signed for these keys."""


class NotCaptured(DomainError):
    """Nothing was taken for this order, so there is nothing to refund."""


class ChargeDisputed(DomainError):
    """The cardholder's bank has taken the money back, or is about to; Stripe refuses a refund then."""


class ReasonMissing(DomainError):
    """A refund needs a reason, of 500 characters at most."""


class NameMissing(DomainError):
    """A refund needs the name of who asks for it, of 100 characters at most."""


class StripeUnavailable(Exception):
    """Stripe did not answer, or answered with an error of its own; what was asked may or may not have happened."""

    error_name = "StripeUnavailable"
    """What callers by RPC are told, whichever kind of it it is."""
