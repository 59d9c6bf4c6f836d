"""Verbs that change orders, tickets, users and operators."""

from datetime import datetime, timedelta
from typing import Any

from libs.contracts.currencies import currency_of
from ops.shell.find import FIND
from ops.shell.operator_client import OperatorClient
from ops.shell.verbs import verb

CHANGE = "Change (asks first)"


@verb(CHANGE, changes=True)
def cancel(client: OperatorClient, order_id: str, reason: str) -> Any:
    """Cancel an order that nobody has begun to pay; its ticket is on sale again."""
    return client.orders.cancel_by_operator(order_id=order_id, reason=reason)


@verb(CHANGE, changes=True)
def refund(client: OperatorClient, order_id: str, reason: str, amount: str | None = None) -> Any:
    """Refund an order in full, once, or an amount such as 5.00 of it; it stays complete.

    The same amount is refunded again only for a different reason, or if that failed: repeating a command, or a
    colleague's, refunds nothing twice. A refund in full replaces partial ones that are not made yet.
    """
    if amount is None:
        return client.payments.refund(order_id=order_id, reason=reason)
    cents = _cents(amount, client.orders.snapshot(order_id=order_id)["currency"])
    return client.payments.refund(order_id=order_id, reason=reason, amount_cents=cents)


def _cents(amount: str, code: str) -> int:
    """Return an amount of money in the currency's minor unit; raise ValueError."""
    cents = currency_of(code).parse(str(amount))
    if not cents:
        raise ValueError(f"{amount} is no amount of {code.upper()}")
    return cents


@verb(CHANGE, changes=True)
def settle(client: OperatorClient, order_id: str) -> Any:
    """Settle a payment with Stripe and its order now, by the id of either; a settled payment does not change."""
    if order_id.startswith("pi_"):
        order_id = client.payments.find(stripe_id=order_id)["order_id"]
    return client.payments.settle(order_id=order_id)


@verb(CHANGE, changes=True)
def extend(client: OperatorClient, order_id: str, minutes: int = 5) -> Any:
    """Give an unpaid order more minutes to be paid, at most until its ticket starts."""
    if minutes < 1:
        raise ValueError("minutes must be 1 or more; expire_now ends an order at once")
    expires_at = datetime.fromisoformat(client.orders.snapshot(order_id=order_id)["expires_at"])
    later = expires_at + timedelta(minutes=minutes)
    return client.orders.move_deadline(order_id=order_id, expires_at=later.isoformat())


@verb(CHANGE, changes=True)
def expire_now(client: OperatorClient, order_id: str) -> Any:
    """Move the deadline of an unpaid order to now, so that it expires."""
    return client.orders.expire_now(order_id=order_id)


@verb(CHANGE, changes=True)
def withdraw(client: OperatorClient, ticket_id: str, reason: str) -> Any:
    """Take a ticket that nobody has reserved off sale, for good."""
    return client.tickets.withdraw_by_operator(ticket_id=ticket_id, reason=reason)


@verb(CHANGE, changes=True)
def lock(client: OperatorClient, user: str, reason: str) -> Any:
    """Lock a user (id or e-mail) out, and end all their sessions, within three seconds."""
    return client.auth.lock(user=user, reason=reason)


@verb(CHANGE, changes=True)
def unlock(client: OperatorClient, user: str, reason: str) -> Any:
    """Let a user (id or e-mail) sign in again."""
    return client.auth.unlock(user=user, reason=reason)


@verb(CHANGE, changes=True)
def end_sessions(client: OperatorClient, user: str, reason: str) -> Any:
    """End all sessions of a user (id or e-mail), who may sign in again."""
    return client.auth.end_sessions(user=user, reason=reason)


@verb(CHANGE, changes=True)
def remove_second_factor(client: OperatorClient, user: str, reason: str) -> Any:
    """Turn off the authenticator app of a user (id or e-mail) who has lost it; return whether there was one."""
    return client.auth.remove_second_factor(email=user, reason=reason)


@verb(CHANGE, changes=True)
def audit(client: OperatorClient) -> Any:
    """Compare at least the last 48 hours with Stripe now, and settle what differs, as every night."""
    return client.payments.audit()


@verb(CHANGE, changes=True)
def announce(client: OperatorClient, text: str = "", german: str = "") -> Any:
    """Show a banner on every page, in English and German; without a text, remove it."""
    texts = {"en": text, "de": german}
    return client.auth.set_announcement(texts={language: said for language, said in texts.items() if said})


@verb(FIND)
def operators(client: OperatorClient) -> Any:
    """List the operators."""
    return client.auth.operators()


@verb(CHANGE, changes=True)
def add_operator(client: OperatorClient, public_key: str) -> Any:
    """Add an operator, or replace your own key, by the public key that `python -m ops.operators key` prints."""
    return client.auth.add_operator(public_key=public_key)


@verb(CHANGE, changes=True)
def remove_operator(client: OperatorClient, name: str) -> Any:
    """Remove yourself, by your own name; only an administrator removes others."""
    return client.auth.remove_operator(name=name)
