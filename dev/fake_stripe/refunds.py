"""Refunds: money given back from a captured charge, never more than was captured."""

from dev.fake_stripe import charges
from dev.fake_stripe.amounts import format_amount
from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import StripeError, invalid, missing
from dev.fake_stripe.events import emit
from dev.fake_stripe.objects import list_page, merge_metadata, new_id, now
from dev.fake_stripe.state import Document

ENDS = (("pending", "succeeded"), ("pending", "failed"), ("succeeded", "failed"))


def create(call: Call) -> Document:
    """Refund a charge or a PaymentIntent's charge, in whole or in part."""
    params = call.params
    charge = _charge(call)
    amount = params.get("amount", _refundable(charge))
    _check(call, charge, amount)
    refund = _blank(charge, amount)
    refund |= {"metadata": merge_metadata({}, params.get("metadata")), "reason": params.get("reason")}
    if call.state.setting("refunds_begin", "succeeded") == "pending":
        refund |= {"status": "pending", "pending_reason": "processing"}
    call.state.add(refund, parent=charge["id"])
    charge["amount_refunded"] += amount
    charge["refunded"] = _refundable(charge) == 0
    call.state.save(charge)
    emit(call, "refund.created", refund)
    emit(call, "charge.refunded", charge)
    return refund


def finish(call: Call, id: str, status: str, failure_reason: str = "unknown") -> Document:
    """Finish a refund: a pending one succeeds, or even one that had succeeded fails, which undoes it."""
    refund = retrieve(call, id)
    if (refund["status"], status) not in ENDS:
        raise invalid(f"Refund {id} is {refund['status']}; it cannot become {status}.", param="status")
    refund["status"] = status
    refund.pop("pending_reason", None)
    if status == "failed":
        refund |= {"failure_reason": failure_reason, "failure_balance_transaction": new_id("txn")}
        charge = charges.get(call, refund["charge"])
        charge |= {"amount_refunded": charge["amount_refunded"] - refund["amount"], "refunded": False}
        call.state.save(charge)
    call.state.save(refund)
    emit(call, "refund.updated", refund)
    emit(call, "charge.refund.updated", refund)
    if status == "failed":
        emit(call, "refund.failed", refund)
    return refund


def _charge(call: Call) -> Document:
    params = call.params
    if "charge" in params:
        return charges.get(call, params["charge"])
    if "payment_intent" not in params:
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    intent = call.find("payment_intent", params["payment_intent"])
    if intent is None:
        raise missing("payment_intent", params["payment_intent"], "payment_intent")
    charge = call.find("charge", intent["latest_charge"] or "")
    if charge is None or not charge["captured"]:
        raise StripeError(
            400,
            "invalid_request_error",
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            executed=True,
            param="payment_intent",
        )
    return charge


def _refundable(charge: Document) -> int:
    """What is left to refund of the money that was taken."""
    return int(charge["amount_captured"] - charge["amount_refunded"])


def _check(call: Call, charge: Document, amount: int) -> None:
    if not all(dispute["is_charge_refundable"] for dispute in call.state.newest("dispute", charge["id"])):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise StripeError(400, "invalid_request_error", message, executed=True, code="charge_disputed")
    if charge["refunded"]:
        message = f"Charge {charge['id']} has already been refunded."
        raise StripeError(400, "invalid_request_error", message, executed=True, code="charge_already_refunded")
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} cannot be refunded because it failed.", param="charge")
    if not charge["captured"]:
        message = f"Charge {charge['id']} has not been captured: cancel its PaymentIntent instead."
        raise StripeError(400, "invalid_request_error", message, executed=True, param="charge")
    if amount <= 0:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > _refundable(charge):
        asked, left = (format_amount(each, charge["currency"]) for each in (amount, _refundable(charge)))
        message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left})"
        raise invalid(message, param="amount")


def _blank(charge: Document, amount: int) -> Document:
    reference = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": new_id("txn"),
        "charge": charge["id"],
        "created": now(),
        "currency": charge["currency"],
        "destination_details": {"card": reference, "type": "card"},
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def retrieve(call: Call, id: str) -> Document:
    """Return one refund."""
    found = call.find("refund", id)
    if found is None:
        raise missing("refund", id, "id", in_url=True)
    return found


def list_refunds(call: Call) -> Document:
    """Return refunds, newest first, of one charge, one PaymentIntent or all."""
    intent = call.params.get("payment_intent")
    return list_page(
        call.state,
        "refund",
        call.params,
        "/v1/refunds",
        parent=call.params.get("charge"),
        keep=lambda refund: intent in (None, refund["payment_intent"]),
    )
