"""Ids in URLs and bodies: a malformed id is answered like an unknown one."""

import re

from gateway.errors import GatewayError

ID = re.compile("[0-9a-f]{24}")  # an ObjectId, the `_id` of tickets and orders

EVENT_ID = re.compile(r"([0-9a-z]+-)*[0-9a-f]{16}")
SESSION_ID = re.compile("[0-9a-f]{32}")


def ticket(ticket_id: str) -> str:
    """Return a ticket's id; raise TicketNotFound when it is malformed."""
    return _well_formed(ticket_id, "TicketNotFound")


def event(event_id: str) -> str:
    """Return an event's id; raise EventNotFound when it is malformed."""
    return _well_formed(event_id, "EventNotFound", EVENT_ID)


def order(order_id: str) -> str:
    """Return an order's id; raise OrderNotFound when it is malformed."""
    return _well_formed(order_id, "OrderNotFound")


def user(user_id: str) -> str:
    """Return a user's id; raise UserNotFound when it is malformed."""
    return _well_formed(user_id, "UserNotFound")


def session(session_id: str) -> str:
    """Return a session's id; raise SessionNotFound when it is malformed."""
    return _well_formed(session_id, "SessionNotFound", SESSION_ID)


def _well_formed(ident: str, error: str, form: re.Pattern[str] = ID) -> str:
    if not form.fullmatch(ident):
        raise GatewayError(error)
    return ident
