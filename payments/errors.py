"""The errors of payments; callers know them by name."""

from libs.contracts.errors import DomainError
from libs.errors import Unavailable


class PaymentNotFound(DomainError):
    """Nobody has begun to pay this order."""


class OrderCancelled(DomainError):
    """The order was cancelled or has expired; nothing was charged."""


class PaymentDeclined(DomainError):
    """The card was declined; details: decline_code, and how many more cards may be tried (remaining)."""


class AuthenticationRequired(DomainError):
    """The bank wants to authenticate the buyer (3-D Secure); details: client_secret."""


class PaymentInProgress(DomainError):
    """The outcome of another attempt to pay this order is not known yet."""


class InvalidCard(DomainError):
    """The token does not belong to a card."""


class PaymentRefused(DomainError):
    """Stripe refuses to take this payment at all, whatever the card; nothing was charged."""


class InvalidSignature(DomainError):
    """The webhook was not signed by Stripe with our secret."""

    security_event = "access_denied"


class NotCaptured(DomainError):
    """Nothing was taken for this order, so there is nothing to refund."""


class ChargeDisputed(DomainError):
    """The cardholder's bank has taken the money back, or is about to; Stripe refuses a refund then."""


class RefundTooLarge(DomainError):
    """Less than the requested amount is left of the charge; details: left_cents."""


class RefundUnderWay(DomainError):
    """A partial refund was abandoned a moment ago, and may still be made; details: when to try again (after)."""


class ReasonMissing(DomainError):
    """A refund needs a reason, of 500 characters at most."""


class AlreadyRefunded(DomainError):
    """Somebody else has requested this refund (details: by, at, reason), or made it at Stripe."""


class StripeUnavailable(Unavailable):
    """Stripe did not answer, or answered with a server error; the request may or may not have been carried out."""

    error_name = "StripeUnavailable"
    """The name that RPC callers get, for subclasses without one of their own, too."""
    is_about_one = False
    """Whether the error concerns this PaymentIntent only, and not all of Stripe."""
    may_be_repeated = False
    """Whether it makes sense to send the same request, with the same idempotency key, again at once."""
    has_charged_nothing = False
    """Whether a request to charge a card charges none, now or later: Stripe refused it, or it was never sent."""
    is_replayed = False
    """Whether Stripe replays this answer to the same idempotency key for a day."""


class NothingCharged(StripeUnavailable):
    """Stripe has refused to charge a card, or was not asked; another attempt may begin at once."""

    error_name = "NothingCharged"
