"""Ids in URLs and bodies: what cannot be an id is answered like an unknown one."""

import re

from gateway.errors import GatewayError

ID = re.compile("[0-9a-f]{24}")  # an ObjectId, which is what tickets and orders are stored under


def ticket(ticket_id: str) -> str:
    """Return the id of a ticket; raise TicketNotFound when no ticket can have it."""
    return _known(ticket_id, "TicketNotFound")


def order(order_id: str) -> str:
    """Return the id of an order; raise OrderNotFound when no order can have it."""
    return _known(order_id, "OrderNotFound")


def _known(thing_id: str, error: str) -> str:
    if not ID.fullmatch(thing_id):
        raise GatewayError(error)
    return thing_id
