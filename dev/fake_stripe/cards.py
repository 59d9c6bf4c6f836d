"""Stripe's test cards (docs.stripe.com/testing): what each number, `tok_…` and `pm_card_…` does."""

from dataclasses import dataclass

DECLINES = {
    # decline_code: (code, message)
    "generic_decline": ("card_declined", "Your card was declined."),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "lost_card": ("card_declined", "Your card was declined."),
    "stolen_card": ("card_declined", "Your card was declined."),
    "card_velocity_exceeded": (
        "card_declined",
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    ),
    "fraudulent": ("card_declined", "Your card was declined."),
    "expired_card": ("expired_card", "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", "Your card's security code is incorrect."),
    "processing_error": (
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
    "test_mode_live_card": (
        "card_declined",
        "Your card was declined. Your request was in test mode, but used a non test card. "
        "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
    ),
}


@dataclass(frozen=True)
class TestCard:
    """One test card: its names after `tok_` and `pm_card_`, and how it answers.

    `decline` is the decline code, given after a passed challenge when there is one; `challenge` asks for 3-D Secure
    while the buyer is present; `set_up` needs no challenge off session; `dispute` is the reason of the dispute that
    follows a payment, or of an `inquiry`.
    """

    __test__ = False

    number: str
    names: tuple[str, ...] = ()
    decline: str | None = None
    challenge: bool = False
    set_up: bool = False
    dispute: str | None = None
    inquiry: bool = False
    funding: str = "credit"
    brand: str = "visa"


CARDS = (
    TestCard("4242424242424242", ("visa", "us", "bypassPendingVisa")),
    TestCard("4000056655665556", ("visa_debit",), funding="debit"),
    TestCard("5555555555554444", ("mastercard",), brand="mastercard"),
    TestCard("2223003122003222", brand="mastercard"),
    TestCard("5200828282828210", ("mastercard_debit",), brand="mastercard", funding="debit"),
    TestCard("5105105105105100", ("mastercard_prepaid",), brand="mastercard", funding="prepaid"),
    TestCard("378282246310005", ("amex", "amex_threeDSecureNotSupported"), brand="amex"),
    TestCard("371449635398431", brand="amex"),
    TestCard("6011111111111117", ("discover",), brand="discover"),
    TestCard("6011000990139424", brand="discover"),
    TestCard("3056930009020004", ("diners",), brand="diners"),
    TestCard("36227206271667", brand="diners"),
    TestCard("3566002020360505", ("jcb",), brand="jcb"),
    TestCard("6200000000000005", ("unionpay",), brand="unionpay"),
    TestCard("4000000000000077", ("bypassPending",)),
    # Declined
    TestCard("4000000000000002", ("chargeDeclined", "visa_chargeDeclined"), decline="generic_decline"),
    TestCard(
        "4000000000009995",
        ("chargeDeclinedInsufficientFunds", "visa_chargeDeclinedInsufficientFunds"),
        decline="insufficient_funds",
    ),
    TestCard("4000000000009987", ("chargeDeclinedLostCard", "visa_chargeDeclinedLostCard"), decline="lost_card"),
    TestCard("4000000000009979", ("chargeDeclinedStolenCard", "visa_chargeDeclinedStolenCard"), decline="stolen_card"),
    TestCard(
        "4000000000000069", ("chargeDeclinedExpiredCard", "visa_chargeDeclinedExpiredCard"), decline="expired_card"
    ),
    TestCard(
        "4000000000000127", ("chargeDeclinedIncorrectCvc", "visa_chargeDeclinedIncorrectCvc"), decline="incorrect_cvc"
    ),
    TestCard(
        "4000000000000119",
        ("chargeDeclinedProcessingError", "visa_chargeDeclinedProcessingError"),
        decline="processing_error",
    ),
    TestCard(
        "4000000000006975",
        ("chargeDeclinedVelocityLimitExceeded", "visa_chargeDeclinedVelocityLimitExceeded"),
        decline="card_velocity_exceeded",
    ),
    TestCard("4000000000000341", ("chargeCustomerFail",), decline="generic_decline"),
    TestCard("4100000000000019", ("radarBlock", "chargeDeclinedFraudulent"), decline="fraudulent"),
    # 3-D Secure
    TestCard("4000002500003155", ("authenticationRequiredOnSetup",), challenge=True, set_up=True),
    TestCard("4000002760003184", ("authenticationRequired",), challenge=True),
    TestCard("4000003800000446", ("authenticationRequiredSetupForOffSession",), challenge=True, set_up=True),
    TestCard(
        "4000008260003178",
        ("authenticationRequiredChargeDeclinedInsufficientFunds",),
        challenge=True,
        decline="insufficient_funds",
    ),
    TestCard("4000000000003220", ("threeDSecure2Required",), challenge=True),
    TestCard("4000000000003063", ("threeDSecureRequired",), challenge=True),
    TestCard("4000008400001629", ("threeDSecureRequiredChargeDeclined",), challenge=True, decline="generic_decline"),
    TestCard("4000000000003055", ("threeDSecureOptional",)),
    # Disputed
    TestCard("4000000000000259", ("createDispute",), dispute="fraudulent"),
    TestCard("4000000000001976", ("createDisputeInquiry",), dispute="fraudulent", inquiry=True),
    TestCard("4000000000002685", ("createDisputeProductNotReceived",), dispute="product_not_received"),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_NAME = {name: card for card in CARDS for name in card.names}
NOT_A_TEST_CARD = "test_mode_live_card"


def by_id(id: str, prefix: str) -> TestCard | None:
    """Return the test card behind a well known id (`tok_visa`, `pm_card_visa`), or None."""
    return BY_NAME.get(id.removeprefix(prefix)) if id.startswith(prefix) else None


def by_number(number: str) -> TestCard:
    """Return the test card with this number; any other number is declined, as Stripe does in test mode."""
    return BY_NUMBER.get(number) or TestCard(number, decline=NOT_A_TEST_CARD, brand=_brand(number))


def _brand(number: str) -> str:
    return {"3": "amex", "4": "visa", "5": "mastercard", "6": "discover"}.get(number[:1], "unknown")


def is_plausible(number: str) -> bool:
    """Whether the number has a card's length and passes the Luhn check."""
    if not number.isdigit() or not 12 <= len(number) <= 19:
        return False
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(number))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
