"""The history of an order: what became of it and of its money, and what operators did about it."""

from collections.abc import Mapping
from typing import Any

PAYMENT = {"captured_at": "charged", "refunded_at": "money went back"}
ABOUT = ("order_id", "order_ids", "reason")
"""Arguments that a line about the order need not show, or shows in a field of its own."""


def history(
    order: Mapping[str, Any], payments: list[Mapping[str, Any]], actions: list[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return [{"at", "who", "what"}], the oldest first, with "outcome" and "reason" of what operators did.

    `payments`: the order's snapshot by payments, if there is one.
    """
    lines = [_line(order["created_at"], f"buyer {order['buyer_id']}", "reserved")]
    if order["status"] in ("complete", "cancelled"):
        ended = f"{order['status']} ({order['cancel_reason']})" if order["cancel_reason"] else order["status"]
        lines.append(_line(order["updated_at"], "orders", f"last changed; {ended}"))
    for payment in payments:
        lines += [_line(payment[name], "Stripe", what) for name, what in PAYMENT.items() if payment[name]]
    for action in actions:
        about = {name: action[name] for name in ("outcome", "reason") if name in action}
        lines.append(_line(action["at"], action["who"], _called(action)) | about)
    return sorted(lines, key=lambda line: line["at"])


def _line(at: str, who: str, what: str) -> dict[str, Any]:
    return {"at": at, "who": who, "what": what}


def _called(action: Mapping[str, Any]) -> str:
    given = action["arguments"]
    if not isinstance(given, dict):
        return f"{action['method']}({given})"
    shown = ", ".join(f"{name}={value!r}" for name, value in given.items() if name not in ABOUT)
    return f"{action['method']}({shown})"
