"""Errors that several parts raise or expect; by RPC they travel by their names. Those of one part are in its domain.

Domains import this file, so it imports nothing but the standard library.
"""

from typing import Any


class DomainError(Exception):
    """The request breaks a rule; the message is a sentence for the user, `details` are JSON values for the caller."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class InvalidFields(DomainError):
    """Fields are invalid; `details["errors"]` is [{"field", "message"}], one for each of them."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__(errors[0]["message"], errors=errors)


class NotOwner(DomainError):
    """The ticket, order or payment is somebody else's."""

    security_event = "access_denied"


class TicketNotFound(DomainError):
    """There is no such ticket."""


class TicketReserved(DomainError):
    """A buyer's order holds the ticket."""


class TicketSold(DomainError):
    """The ticket has been paid for."""


class TicketWithdrawn(DomainError):
    """The seller took the ticket off sale."""


class OrderNotFound(DomainError):
    """There is no such order."""


class KeyReused(DomainError):
    """The idempotency key was used with a different request before."""


class NotOperator(DomainError):
    """The caller is not, or no longer, an operator, or the token is for another call."""

    security_event = "access_denied"


class TooManyAttempts(DomainError):
    """Too many attempts; for the next `details["retry_after"]` seconds none is accepted."""

    security_event = "throttled"
