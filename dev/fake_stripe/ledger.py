"""The ledger: all charges and refunds, for tests that require exactly one captured, unrefunded charge."""

from typing import Any

from dev.fake_stripe.state import Document, State


def read(state: State, order_id: str | None = None) -> list[dict[str, Any]]:
    """Return every PaymentIntent (of one order, or of all), oldest first, with its charges; amounts in minor units."""
    if order_id is None:
        intents = list(state.newest("payment_intent"))
    else:
        intents = list(
            state.newest("payment_intent", None, "json_extract(body, '$.metadata.order_id') = ?", (order_id,))
        )
    return [_intent(state, intent) for intent in reversed(intents)]


def _intent(state: State, intent: Document) -> dict[str, Any]:
    charges = [_charge(state, charge) for charge in state.newest("charge", intent["id"])][::-1]
    return {
        "payment_intent": intent["id"],
        "order_id": intent["metadata"].get("order_id"),
        "amount": intent["amount"],
        "currency": intent["currency"],
        "status": intent["status"],
        "captured": sum(charge["captured"] for charge in charges),
        "refunded": sum(charge["refunded"] for charge in charges),
        "charges": charges,
    }


def _charge(state: State, charge: Document) -> dict[str, Any]:
    made = [refund for refund in state.newest("refund", charge["id"]) if refund["status"] != "failed"][::-1]
    refunds = [{"id": refund["id"], "amount": refund["amount"]} for refund in made]
    return {
        "id": charge["id"],
        "status": charge["status"],
        "failure_code": charge["failure_code"],
        "captured": charge["amount_captured"],
        "refunded": sum(refund["amount"] for refund in refunds),
        "disputed": charge["disputed"],
        "refunds": refunds,
    }
