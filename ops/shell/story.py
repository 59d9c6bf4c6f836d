"""The story of an order: its changes and those of its money, the services that handled them, and operators' actions."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from libs.contracts.currencies import currency_of
from ops.shell.methods import is_look_up

Document = Mapping[str, Any]
Line = dict[str, Any]

ORDER = {
    "OrderCreated": "reserved",
    "OrderAwaitingPayment": "the card is authorized: being captured",
    "OrderCompleted": "complete",
    "OrderUpdated": "changed",
}
PAYMENT = {"created_at": "begins to be paid", "captured_at": "charged", "refunded_at": "money went back"}
ABOUT = ("order_id", "order_ids", "reason")
"""Arguments that a line about the order need not show, or shows in a field of its own."""


def timeline(
    order: Document,
    payment: Document | None,
    deadline: Document | None,
    messages: Mapping[str, Document],
    actions: list[Document],
    now: datetime,
) -> list[Line]:
    """Return [{"at", "who", "what"}], the oldest first, with "outcome" and "reason" of what operators did.

    `order`, `payment` and `deadline` are the answers of `orders.story`, `payments.story` and `expiration.deadline`,
    `messages` those of each service's `messages`, by its name.
    """
    lines = [*_of_order(order, deadline), *_of_actions(actions)]
    lines += _of_payment(payment) if payment else ()
    for service, about in messages.items():
        lines += _of_messages(service, about)
    lines.sort(key=lambda line: line["at"])
    return lines + [*_of_followers(order, messages, now.isoformat())]


def _of_order(order: Document, deadline: Document | None) -> Iterator[Line]:
    log, buyer = order["log"], f"buyer {order['buyer_id']}"
    if not log or log[0]["version"] > 1:  # an earlier version of orders kept no log
        yield _line(order["created_at"], buyer, "reserved")
    for change in log:
        extended = f"extended the time to pay until {change['extended_to']}" if "extended_to" in change else None
        is_buyers = extended or change["version"] == 1
        what = ORDER.get(change["event"], f"cancelled ({order['cancel_reason']})")
        yield _line(change["at"], buyer if is_buyers else "orders", extended or what)
    if not log and order["status"] in ("complete", "cancelled"):
        yield _line(order["updated_at"], "orders", f"last changed; {order['status']}")
    state = f"; its job is {deadline['state']}" if deadline else ""
    yield _line(order["expires_at"], "deadline", f"the time to pay ends{state}")


def _of_payment(payment: Document) -> Iterator[Line]:
    for name, what in PAYMENT.items():
        if payment[name]:
            yield _line(payment[name], "payments", what)
    if payment["confirming_at"]:
        yield _line(payment["confirming_at"], "payments", "a card is being charged; its outcome is not known yet")
    yield from _of_refunds(payment)
    for webhook in payment["webhooks"]:
        waits = f"not settled, {webhook['failures'] or 0} failures: {webhook['failure']}"
        outcome = webhook["outcome"] if webhook["settled_at"] else waits
        yield _line(webhook["received_at"], "Stripe", f"{webhook['type']}: {outcome}")


def _of_refunds(payment: Document) -> Iterator[Line]:
    """Return the outcome of each refund that an operator requested; `money went back` is when all of it was made."""
    for each in payment["earlier_refunds"]:
        yield _line(each["at"], "payments", "refund of everything: failed")
    if payment["refund"] and payment["status"] == "captured":
        pending = "pending at Stripe" if payment["refunding_cents"] else "not made yet"
        state = "failed" if payment.get("has_full_refund_failed") else pending
        yield _line(payment["refund"]["at"], "payments", f"refund of everything: {state}")
    for each in payment["partial_refunds"]:
        amount = currency_of(payment["currency"]).major(each["amount_cents"])
        yield _line(each["at"], "payments", f"refund of {amount} {payment['currency'].upper()}: {each['state']}")


def _of_messages(service: str, about: Document) -> Iterator[Line]:
    for event in about["outbox"]:
        yield _line(event["at"], service, f"{event['event']} {event['version']} waits in the outbox")
    for kind, what in (("parked", "parked"), ("retried", "is being retried")):
        for event in about[kind]:
            about_it = f"{event['event_id']} of {event['queue']} {what}: {event['reason']}"
            yield _line(event["failed_at"], service, about_it)


def _of_followers(order: Document, messages: Mapping[str, Document], now: str) -> Iterator[Line]:
    """Return which services have handled the newest version of the order; payments has none that nobody pays."""
    for service, about in messages.items():
        if about["version"] is not None:
            is_newest = about["version"] >= order["version"]
            how = "up to date" if is_newest else "behind"
            yield _line(now, service, f"{how}: version {about['version']} of {order['version']}")


def _of_actions(actions: list[Document]) -> Iterator[Line]:
    for action in actions:
        if not is_look_up(action["method"]):
            about = {name: action[name] for name in ("outcome", "reason") if name in action}
            yield _line(action["at"], action["who"], _called(action)) | about


def _line(at: str, who: str, what: str) -> Line:
    return {"at": at, "who": who, "what": what}


def _called(action: Document) -> str:
    given = action["arguments"]
    if not isinstance(given, dict):
        return f"{action['method']}({given})"
    shown = ", ".join(f"{name}={value!r}" for name, value in given.items() if name not in ABOUT)
    return f"{action['method']}({shown})"
