"""Charges: one for each attempt that reached the bank, declined ones included."""

from dev.fake_stripe import cards
from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import missing
from dev.fake_stripe.events import emit
from dev.fake_stripe.objects import list_page, new_id, now
from dev.fake_stripe.state import Document

APPROVED = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "risk_score": 12,
    "seller_message": "Payment complete.",
    "type": "authorized",
}


def attempt(call: Call, intent: Document, method: Document, decline: str | None) -> Document:
    """Store the charge of one attempt: declined with this code, captured, or only authorized."""
    manual = intent["capture_method"] == "manual"
    charge = _blank(intent, method)
    if decline:
        code, message = cards.DECLINES[decline]
        blocked = decline == "fraudulent"
        charge |= {"status": "failed", "paid": False, "failure_code": code, "failure_message": message}
        charge["outcome"] = APPROVED | {
            "network_status": "not_sent_to_network" if blocked else "declined_by_network",
            "reason": "highest_risk_level" if blocked else decline,
            "seller_message": "The bank returned the decline code `" + decline + "`.",
            "type": "blocked" if blocked else "issuer_declined",
        }
    elif not manual:
        charge |= {"captured": True, "amount_captured": intent["amount"], "balance_transaction": new_id("txn")}
    call.state.add(charge, parent=intent["id"])
    emit(call, "charge.failed" if decline else "charge.succeeded", charge)
    return charge


def _blank(intent: Document, method: Document) -> Document:
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "FAKE STRIPE",
        "captured": False,
        "created": now(),
        "currency": intent["currency"],
        "customer": None,
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": APPROVED,
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": method["card"], "type": "card"},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def capture(call: Call, charge: Document, amount: int) -> None:
    """Capture an authorized charge; the rest is released, which is no refund."""
    charge |= {"captured": True, "amount_captured": amount, "balance_transaction": new_id("txn")}
    call.state.save(charge)
    emit(call, "charge.captured", charge)


def get(call: Call, id: str, param: str = "charge", in_url: bool = False) -> Document:
    """Return a charge, or refuse with Stripe's words."""
    found = call.find("charge", id)
    if found is None:
        raise missing("charge", id, param, in_url)
    return found


def retrieve(call: Call, id: str) -> Document:
    """Return one charge."""
    return get(call, id, "id", in_url=True)


def list_charges(call: Call) -> Document:
    """Return charges, newest first, of one PaymentIntent or of all."""
    return list_page(call.state, "charge", call.params, "/v1/charges", parent=call.params.get("payment_intent"))
