"""A user of the JSON API of a running system."""

import secrets
import time
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter

SECONDS = 30
CONNECTIONS = 16


class DemoError(Exception):
    """The system did not behave as the demo expects; the message says how."""


class Visitor:
    """A user with a session of their own at the site `url`; every unexpected answer raises DemoError."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url.rstrip("/")
        self.email = f"{name}.{secrets.token_hex(3)}@example.org"
        self.password = secrets.token_urlsafe(12)
        self.http = requests.Session()
        self.http.headers["Connection"] = "close"  # an idle one may be closed just as it is reused
        self.http.mount("http", HTTPAdapter(pool_maxsize=CONNECTIONS))

    def sign_up(self) -> None:
        """Create the account, and stay signed in."""
        self.call("POST", "/api/users/signup", 201, {"email": self.email, "password": self.password})

    def sell(self, **ticket: Any) -> str:
        """List a ticket and return its id."""
        return str(self.call("POST", "/api/tickets", 201, ticket)["id"])

    def reserve(self, ticket_id: str) -> str:
        """Order the ticket and return the order's id."""
        return str(self.call("POST", "/api/orders", 201, {"ticketId": ticket_id})["id"])

    def pay(self, order_id: str, card: str = "tok_visa", expected: int = 201) -> None:
        """Pay for the order with one of Stripe's test cards."""
        self.call("POST", "/api/payments", expected, {"orderId": order_id, "token": card})

    def cancel(self, order_id: str) -> None:
        """Cancel the order."""
        self.call("DELETE", f"/api/orders/{order_id}", 204)

    def status(self, kind: str, ident: str) -> str:
        """Return the status of one of the `orders` or `tickets`."""
        return str(self.call("GET", f"/api/{kind}/{ident}", 200)["status"])

    def wait_for_status(self, kind: str, ident: str, status: str) -> None:
        """Return once one of the `orders` or `tickets` has this status."""
        wait_until(lambda: self.status(kind, ident) == status, f"{kind} {ident} is not {status}")

    def call(self, method: str, path: str, expected: int, body: dict[str, Any] | None = None) -> Any:
        """Call the API; return the answer's body."""
        try:
            answer = self.http.request(method, self.url + path, json=body, timeout=SECONDS)
        except requests.RequestException as problem:
            raise DemoError(f"{self.url} does not answer: {problem}") from problem
        if answer.status_code != expected:
            raise DemoError(f"{method} {path} answered {answer.status_code}, not {expected}: {answer.text[:300]}")
        return answer.json() if answer.content else None


def wait_until(condition: Callable[[], bool], problem: str) -> None:
    """Return as soon as `condition()` holds; raise DemoError with `problem` when it does not in time."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"{problem} after {SECONDS} s")
        time.sleep(0.1)
