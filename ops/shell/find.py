"""Verbs that find things and problems."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from libs.amqp.connection import BLOCKED
from libs.clock import utc_now
from libs.contracts.currencies import currency_of
from libs.contracts.events import RETIRED_QUEUES
from libs.contracts.limits import MAXIMUM_PAGE
from libs.contracts.parts import SERVICES
from libs.rpc import RemoteError, ServiceUnavailable
from ops.shell.operator_client import LISTENERS, OperatorClient
from ops.shell.story import timeline
from ops.shell.verbs import verb

FIND = "Find"
OBJECT_ID, EMAIL = re.compile(r"[0-9a-f]{24}"), re.compile(r"\S+@\S+")
OUTBOX_SECONDS = 10
"""How long an event may wait to be published while everything works."""
BEHIND_SECONDS = 60
"""How far a comparison of copies may be behind while everything works."""
NO_ANSWER = "a service does not answer"
UNKNOWN = ("OrderNotFound", "TicketNotFound", "UserNotFound", "PaymentNotFound")


@verb(FIND)
def find(client: OperatorClient, *words: str) -> list[dict[str, Any]]:
    """Find users, tickets and orders by an e-mail address, an id, a PaymentIntent, or words of a title or venue.

    Returns [{"kind", "id", "what", "state", "at"}]; for a user also their newest orders and tickets, for a ticket its
    orders: 100 at most. Look-ups are recorded with their search terms, but not those of tickets, which anybody may see.
    """
    text = " ".join(words).strip()
    if EMAIL.fullmatch(text):
        return _about_user(client, text)
    if text.startswith("pi_"):
        return [_order(client.orders.snapshot(order_id=client.payments.find(stripe_id=text)["order_id"]))]
    if not OBJECT_ID.fullmatch(text):
        listed = client.tickets.list(status="all", q=text, limit=MAXIMUM_PAGE)
        _say_newest(listed["next"], "tickets")
        return [_ticket(each) for each in listed["tickets"]]
    found: list[dict[str, Any]] = []
    for about in (_about_order, _about_ticket, _about_user):
        with ignoring_unknown():  # it is the id of something else
            found += about(client, text)
    return found


@contextmanager
def ignoring_unknown() -> Iterator[None]:
    """Leave the block if nothing has this id; any other refusal, as of a caller who is no operator, is raised."""
    try:
        yield
    except RemoteError as error:
        if error.name not in UNKNOWN:
            raise


def _about_user(client: OperatorClient, user: str) -> list[dict[str, Any]]:
    found = client.auth.find_user(user=user)
    state = f"locked since {found['locked_at']}" if found["locked_at"] else "may sign in"
    return [
        {"kind": "user", "id": found["id"], "what": found["email"], "state": state, "at": found["created_at"]},
        *map(_order, _newest(client, "orders", buyer_id=found["id"])),
        *map(_ticket, _newest(client, "tickets", seller_id=found["id"])),
    ]


def _about_order(client: OperatorClient, order_id: str) -> list[dict[str, Any]]:
    return [*map(_order, client.ask(lambda orders: orders.snapshot(order_id=order_id), ["orders"]).values())]


def _about_ticket(client: OperatorClient, ticket_id: str) -> list[dict[str, Any]]:
    found = client.ask(lambda tickets: tickets.get(ticket_id=ticket_id), ["tickets"]).values()
    return [*map(_ticket, found), *map(_order, _newest(client, "orders", ticket_id=ticket_id))]


def _newest(client: OperatorClient, part: str, **about: str) -> list[Any]:
    """Return the newest orders or tickets about somebody or something; none if the service does not answer."""
    found: list[Any] = client.ask(lambda service: service.find(**about, limit=MAXIMUM_PAGE), [part]).get(part, [])
    _say_newest(len(found) == MAXIMUM_PAGE, part)
    return found


def _say_newest(are_more: object, part: str) -> None:
    if are_more:
        print(f"there may be more {part}: these are the newest", file=sys.stderr)


def _order(order: dict[str, Any]) -> dict[str, Any]:
    reason = f" ({order['cancel_reason']})" if order["cancel_reason"] else ""
    what = f"{order['ticket']['title']}, bought by {order['buyer_id']} from {order['seller_id']}"
    state = f"{order['status']}{reason}"
    return {"kind": "order", "id": order["id"], "what": what, "state": state, "at": order["created_at"]}


def _ticket(ticket: dict[str, Any]) -> dict[str, Any]:
    what = f"{ticket['title']}, {ticket['price_cents']} {ticket['currency']} (minor units), by {ticket['seller_id']}"
    return {"kind": "ticket", "id": ticket["id"], "what": what, "state": ticket["status"], "at": ticket["created_at"]}


@verb(FIND)
def story(client: OperatorClient, order_id: str) -> list[dict[str, Any]]:
    """Show everything about an order: its changes, payment, Stripe's events, deadline, messages and operators' actions.

    Returns [{"at", "who", "what"}], the oldest first, with "outcome" and "reason" of what operators did. The last lines
    show how far each service has followed the order.
    """
    order = client.orders.story(order_id=order_id)
    ticket_id = order["ticket"]["id"]
    messages = client.ask(lambda service: service.messages(order_id=order_id, ticket_id=ticket_id))
    payments = client.ask(lambda service: _payment(service, order_id), ["payments"])
    deadlines = client.ask(lambda service: service.deadline(order_id=order_id), ["expiration"])
    actions = _actions_about(client, order_id)
    return timeline(order, payments.get("payments"), deadlines.get("expiration"), messages, actions, utc_now())


def _actions_about(client: OperatorClient, order_id: str) -> list[Any]:
    """Return all that operators did about an order, each look at it included."""
    found = page = client.auth.actions(order_id=order_id, limit=MAXIMUM_PAGE)
    while len(page) >= MAXIMUM_PAGE:
        page = client.auth.actions(order_id=order_id, before=page[-1]["at"], limit=MAXIMUM_PAGE)
        found = found + page
    return found


def _payment(service: Any, order_id: str) -> Any:
    with ignoring_unknown():  # nobody has begun to pay
        return service.story(order_id=order_id)
    return None


@verb(FIND)
def stuck(client: OperatorClient) -> list[dict[str, Any]]:
    """List everything that is wrong, by kind, the oldest of each first, with the verb that repairs it.

    Returns [{"kind", "id", "since", "age_seconds", "why", "repair"}]; nothing if all is well.
    """
    try:
        client.connect()
    except ServiceUnavailable as error:
        return [_without(client, "RabbitMQ does not answer", "rabbitmq", error)]
    try:
        of_auth = client.auth.outboxes()
    except ServiceUnavailable as error:  # no service answers an operator, as auth cannot record operators' actions
        if error.is_reply:
            return [_without(client, "MongoDB does not answer", "mongo", error)]
        client.unreachable["auth"] = str(error)
        return [_unanswered("auth", str(error))]
    unreachable: set[str] = set()
    others = [part for part in SERVICES if part != "auth"]
    found = [
        *_collect(client, unreachable, ["orders"], lambda service: service.stuck(), _stuck_orders),
        *_collect(client, unreachable, ["payments"], lambda service: service.stuck(), _stuck_payments),
        *_collect(client, unreachable, LISTENERS, lambda service: service.parked_events(), _parked),
        *_collect(client, unreachable, LISTENERS, lambda service: service.stuck_events(), _retried),
        *_full_outboxes("auth", of_auth),
        *_collect(client, unreachable, others, lambda service: service.outboxes(), _full_outboxes),
        *_collect(client, unreachable, LISTENERS, lambda service: service.copies(), _stale),
        *_collect(client, unreachable, LISTENERS, lambda service: service.queues(), _deserted),
        *_collect(client, unreachable, ["expiration"], lambda service: service.jobs(), _late),
    ]
    found += [_unanswered(part, client.unreachable[part]) for part in sorted(unreachable)]
    return sorted(found, key=lambda each: (each["kind"], -(each["age_seconds"] or 0)))


def _without(client: OperatorClient, kind: str, needed: str, error: ServiceUnavailable) -> dict[str, Any]:
    client.unreachable[needed] = str(error)
    return _trouble(kind, needed, None, str(error), f'restart("{needed}")')


def _unanswered(part: str, why: str) -> dict[str, Any]:
    if BLOCKED in why:
        repair = "give it more memory or disk, or purge a queue that nobody consumes"
        return _trouble("RabbitMQ blocks publishers", "rabbitmq", None, why, repair)
    return _trouble(NO_ANSWER, part, None, why, f'restart("{part}")')


def _collect(
    client: OperatorClient,
    unreachable: set[str],
    parts: Iterable[str],
    ask: Callable[[Any], Any],
    read: Callable[[str, Any], Iterable[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """Return the problems in the answers of these services, except unreachable ones; add those that do not answer."""
    asked = [part for part in parts if part not in unreachable]
    answers = client.ask(ask, asked)
    unreachable.update(set(asked) - answers.keys())
    return [each for part, answer in answers.items() for each in read(part, answer)]


def _trouble(kind: str, ident: str | None, since: str | None, why: str | None, repair: str) -> dict[str, Any]:
    age = None
    if since:
        age = round((utc_now() - datetime.fromisoformat(since)).total_seconds())
    return {"kind": kind, "id": ident, "since": since, "age_seconds": age, "why": why, "repair": repair}


def _stuck_orders(_part: str, orders: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for each in orders["overdue"]:
        ident = each["order_id"]
        yield _trouble("order past its deadline", ident, each["since"], None, f'cancel("{ident}", "…")')
    for each in orders["awaiting"]:
        ident = each["order_id"]
        yield _trouble("order awaiting payment", ident, each["since"], None, f'settle("{ident}")')


def _stuck_payments(_part: str, found: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for each in found["confirming"]:
        yield _trouble("payment confirming", each["order_id"], each["since"], None, f'settle("{each["order_id"]}")')
    for each in found["refunds"]:
        yield _trouble("refund failed", each["order_id"], each["since"], *_failed_refund(each))
    for each in found.get("pending_refunds", ()):  # an earlier version of payments returns none
        why = "pending at Stripe: is our balance there too low?"
        yield _trouble("refund pending", each["order_id"], each["since"], why, f'settle("{each["order_id"]}")')
    for each in found.get("late_refunds", ()):  # as above
        yield _trouble("refund waiting", each["order_id"], each["since"], None, f'settle("{each["order_id"]}")')
    for each in found["payments"]:
        ident, why = each["order_id"], f"{each['failures']} times: {each['failure']}"
        yield _trouble("payment not settled", ident, each["failed_since"], why, f'settle("{ident}")')
    for each in found["webhooks"]:
        why = f"{each['type']} failed {each['failures']} times: {each['failure']}"
        repair = f'settle("{each["order_id"] or each["stripe_id"]}")'
        yield _trouble("webhook not settled", each["id"], each["received_at"], why, repair)


def _failed_refund(refund: dict[str, Any]) -> tuple[str, str]:
    """Return the failed refund, and the verb that repairs it: never one that refunds more than that."""
    command, reason = f'refund("{refund["order_id"]}"', json.dumps(refund.get("reason") or "…", ensure_ascii=False)
    if refund.get("amount_cents"):
        amount = currency_of(refund["currency"]).major(refund["amount_cents"])
        return f"{amount} {refund['currency'].upper()}", f'{command}, {reason}, "{amount}")'
    if refund.get("is_all"):
        return "everything", f"{command}, {reason})"
    return "made at Stripe, or some of it returned since: see there", f'story("{refund["order_id"]}")'


def _parked(_part: str, groups: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for each in groups:
        selected = f'"{each["queue"]}"' + (f', exception="{each["exception"]}"' if each["exception"] else "")
        why = f"{each['count']} events: {each['exception'] or 'not looked at'}"
        repair = f'discard({selected}, reason="…")' if each["queue"] in RETIRED_QUEUES else f"replay({selected})"
        yield _trouble("events parked", each["queue"], each["oldest"] or None, why, repair)


def _retried(part: str, events: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    repair = f'restart("{part}")  # only if it stays once the cause is gone: it is retried automatically'
    for each in events:
        why = f"{each['queue']} failed {each['attempts']} times: {each['reason']}"
        yield _trouble("event retried", each["event_id"], each["failed_at"] or None, why, repair)


def _full_outboxes(part: str, outboxes: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for each in outboxes:
        if each["oldest_seconds"] > OUTBOX_SECONDS:
            age, why = round(each["oldest_seconds"]), f"{each['waiting']} documents wait"
            trouble = _trouble("outbox not published", f"{part}.{each['collection']}", None, why, f'restart("{part}")')
            yield trouble | {"age_seconds": age}


def _stale(part: str, copies: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for each in copies:
        behind = each["behind_seconds"]
        if each["stale"] or behind is None or behind > BEHIND_SECONDS:
            kind, why = "copies stale", f"{each['stale']} out of date"
            if not each["stale"]:
                kind, why = "copies not compared", "the comparison with their source is behind, as after an outage"
            trouble = _trouble(kind, each["copies"], None, why, f'repair("{part}")')
            yield trouble | {"age_seconds": None if behind is None else round(behind)}


def _deserted(part: str, queues: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for each in queues:
        if not each["listeners"]:
            why = "there is no such queue" if each["waiting"] is None else f"{each['waiting']} events, no listener"
            repair = 'restart("broker-setup")' if each["waiting"] is None else f'restart("{part}")'
            yield _trouble("queue without listener", each["queue"], None, why, repair)


def _late(_part: str, jobs: dict[str, Any]) -> Iterable[dict[str, Any]]:
    if jobs["scheduled"] is None:
        yield _trouble(
            "Redis does not answer", "redis", None, "no jobs; orders releases by its sweep", 'restart("redis")'
        )
    program = "worker" if jobs["queued"] else "scheduler"  # which may have handed the job over to the worker
    for each in jobs["late"]:
        yield _trouble("job late", each["order_id"], each["expires_at"], None, f'restart("{program}")')


@verb(FIND)
def actions(client: OperatorClient, who: str | None = None, before: str | None = None, limit: int = 50) -> Any:
    """List what operators did, the newest first: all of them, or one."""
    return client.auth.actions(who=who, before=before, limit=limit)
