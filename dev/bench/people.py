"""Any number of buyers, with sessions that are signed here as auth and the gateway sign them."""

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlencode

from bson import ObjectId
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from dev.bench.load import request
from dev.stack import Stack
from libs.tokens import Signer

SESSION_SECONDS = 12 * 3600
NUMBERS = count(1)


@dataclass(frozen=True)
class Person:
    """A signed-in user: the id, the session cookie, and the CSRF token in it."""

    id: str
    cookie: str
    csrf: str

    def get(self, path: str) -> bytes:
        """Return a request for a page or for JSON."""
        return request("GET", path, self.cookie)

    def reserve(self, ticket_id: str) -> bytes:
        """Return the request that reserves a ticket."""
        return request("POST", "/api/orders", self.cookie, {"ticketId": ticket_id})

    def reserve_by_form(self, ticket_id: str) -> bytes:
        """Return the same request as the ticket's page sends it, the token masked by zeros and not random bytes."""
        masked = urlsafe_b64encode(bytes(len(self.csrf)) + self.csrf.encode()).decode()
        fields = {"csrf_token": masked, "version": "1", "key": secrets.token_urlsafe(16)}
        return request("POST", f"/tickets/{ticket_id}/buy", self.cookie, form=urlencode(fields))

    def pay(self, order_id: str) -> bytes:
        """Return the request that pays an order."""
        return request("POST", "/api/payments", self.cookie, {"orderId": order_id, "token": "tok_visa"})


def people(stack: Stack) -> Iterator[Person]:
    """Yield one new user after the other, without accounts at auth: nothing that is measured reads users."""
    app = Flask("bench")
    app.secret_key = stack.secrets["GATEWAY_SECRET_KEY"].split(",")[0]
    cookies, signer = (
        SecureCookieSessionInterface().get_signing_serializer(app),
        Signer(stack.secrets["AUTH_SIGNING_KEY"]),
    )
    assert cookies is not None
    for number in NUMBERS:
        user_id, csrf = str(ObjectId()), secrets.token_urlsafe(32)
        token = signer.mint(user_id, SESSION_SECONDS, email=f"buyer{number}@example.org", generation=0)
        session = {"_permanent": True, "token": token, "csrf": csrf, "used_at": int(time.time())}
        cookie = cookies.dumps(session)
        yield Person(user_id, f"ticketing-session={cookie}", csrf)
