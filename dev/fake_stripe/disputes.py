"""Disputes: a cardholder takes a captured charge back, or only asks about it (an inquiry, which takes no money).

They are opened by a control or by Stripe's disputed test cards.
"""

from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import invalid, missing
from dev.fake_stripe.events import emit
from dev.fake_stripe.objects import list_page, new_id, now
from dev.fake_stripe.state import Document

WEEK = 7 * 24 * 3600
NEXT = {
    "warning_needs_response": ("warning_under_review", "warning_closed", "needs_response"),
    "warning_under_review": ("warning_closed", "needs_response"),
    "needs_response": ("under_review", "won", "lost"),
    "under_review": ("won", "lost"),
}
CLOSED = ("won", "lost", "warning_closed")


def open_dispute(
    call: Call, charge: Document, reason: str = "fraudulent", is_inquiry: bool = False, amount: int | None = None
) -> Document:
    """Dispute a captured charge, in full or only `amount` of it, or ask about it."""
    if not charge["captured"] or charge["disputed"]:
        raise invalid(f"Charge {charge['id']} cannot be disputed: it is not captured, or disputed already.")
    dispute: Document = {
        "id": new_id("dp"),
        "object": "dispute",
        "amount": min(amount or charge["amount_captured"], charge["amount_captured"]),
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now(),
        "currency": charge["currency"],
        "evidence": {},
        "evidence_details": {"due_by": now() + WEEK, "has_evidence": False, "past_due": False, "submission_count": 0},
        "is_charge_refundable": is_inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": "warning_needs_response" if is_inquiry else "needs_response",
    }
    call.state.add(dispute, parent=charge["id"])
    call.state.save(charge | {"disputed": True})
    emit(call, "charge.dispute.created", dispute)
    if not is_inquiry:
        emit(call, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def move(call: Call, id: str, status: str) -> Document:
    """Change a dispute's status: `won` returns the money, `needs_response` makes an inquiry a dispute that takes it."""
    dispute = retrieve(call, id)
    if status not in NEXT.get(dispute["status"], ()):
        raise invalid(f"Dispute {id} is {dispute['status']}; it cannot become {status}.", param="status")
    dispute["status"] = status
    if status == "needs_response":
        dispute["is_charge_refundable"] = False
    call.state.save(dispute)
    emit(call, "charge.dispute.closed" if status in CLOSED else "charge.dispute.updated", dispute)
    if status == "needs_response":
        emit(call, "charge.dispute.funds_withdrawn", dispute)
    if status == "won":
        emit(call, "charge.dispute.funds_reinstated", dispute)
    return dispute


def retrieve(call: Call, id: str) -> Document:
    """Return one dispute."""
    found = call.find("dispute", id)
    if found is None:
        raise missing("dispute", id, "id", in_url=True)
    return found


def list_disputes(call: Call) -> Document:
    """Return disputes, newest first, of one charge, one PaymentIntent or all."""
    intent = call.params.get("payment_intent")
    return list_page(
        call.state,
        "dispute",
        call.params,
        "/v1/disputes",
        parent=call.params.get("charge"),
        keep=lambda dispute: intent in (None, dispute["payment_intent"]),
    )
