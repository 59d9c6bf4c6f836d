"""People who use the API of a running system, and its operator."""

import itertools
import secrets
import time
from datetime import UTC, datetime, timedelta

import requests
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from dev.stack.operators import own_key
from dev.stack.ports import HOST
from dev.stack.programs import environment
from dev.testing import wait_for
from libs.rpc import Client
from libs.tokens import Signer

SESSION_COOKIE = "ticketing-session"

_numbers = itertools.count(1)


class Sessions:
    """Begins sessions with the secrets of a running system."""

    def __init__(self, system):
        app = Flask(__name__)
        app.secret_key = system.secrets["GATEWAY_SECRET_KEY"]
        self._serializer = SecureCookieSessionInterface().get_signing_serializer(app)
        self._auth = Signer(system.secrets["AUTH_SIGNING_KEY"])

    def cookie(self, token):
        """Return the value of the gateway's cookie with this token of auth in it."""
        return self._serializer.dumps({"token": token})

    def begin(self, person):
        """Give a person a session without an account, for which auth would hash a password."""
        person.id = secrets.token_hex(12)
        token = self._auth.mint(person.id, 3600, email=person.email)
        person.http.cookies.set(SESSION_COOKIE, self.cookie(token), domain=HOST, path="/")
        return person


class Person:
    """A user of the JSON API, with a cookie jar. The caller checks every answer."""

    def __init__(self, url, name):
        self.url = url
        self.email = f"{name}-{next(_numbers)}-{secrets.token_hex(3)}@example.org"
        self.http = requests.Session()
        self.http.headers["Connection"] = "close"  # an idle one may be closed just as it is reused

    def sign_up(self):
        answer = self.post("/api/users/signup", {"email": self.email, "password": "correct horse battery"})
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["id"]
        return self

    def session_elsewhere(self):
        """Sign in on another device; return the id of that session."""
        with requests.Session() as http:
            about = {"email": self.email, "password": "correct horse battery"}
            assert http.post(f"{self.url}/api/users/signin", json=about, timeout=30).ok
            sessions = http.get(f"{self.url}/api/users/sessions", timeout=15).json()
        return next(each["id"] for each in sessions if each["current"])

    def get(self, path):
        return self.http.get(self.url + path, timeout=15)

    def post(self, path, body=None, **headers):
        return self.http.post(self.url + path, json=body, headers=headers, timeout=30)

    def delete(self, path):
        return self.http.delete(self.url + path, timeout=15)

    def list_ticket(self, title="Hamlet, row 3", price=19.99):
        answer = self.post("/api/tickets", {"title": title, "price": price, "category": "stage"})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def reserve(self, ticket_id):
        answer = self.post("/api/orders", {"ticketId": ticket_id})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def pay(self, order_id, card="tok_visa"):
        return self.post("/api/payments", {"orderId": order_id, "token": card})

    def order(self, order_id):
        return self.get(f"/api/orders/{order_id}").json()

    def ticket(self, ticket_id):
        return self.get(f"/api/tickets/{ticket_id}").json()

    def wait_for_order(self, order_id, status, seconds=20):
        """Wait until the order has this status; other answers, and none, are ignored meanwhile."""

        def reached():
            try:
                answer = self.get(f"/api/orders/{order_id}")
            except requests.RequestException:
                return False
            return answer.status_code == 200 and answer.json()["status"] == status

        wait_for(reached, seconds, f"order {order_id} to be {status}")

    def wait_for_ticket(self, ticket_id, status, seconds=20):
        """Wait until the ticket has this status."""
        wait_for(lambda: self.ticket(ticket_id)["status"] == status, seconds, f"ticket {ticket_id} to be {status}")


class Operator:
    """An operator, who calls the services directly."""

    def __init__(self, system, name="olga"):
        settings = environment("operator", system)
        self.signer = Signer(own_key(system, name))
        self.client = Client(settings["OPERATOR_AMQP_URL"], "operator", timeout=10)

    def call(self, service, method, **arguments):
        return self.client.call(service, method, arguments, token=self.signer.mint_call(f"{service}.{method}"))

    def let_expire(self, order_id, seconds=1.0):
        """Move the order's deadline to `seconds` from now."""
        deadline = datetime.now(UTC) + timedelta(seconds=seconds)
        self.call("orders", "move_deadline", order_id=order_id, expires_at=deadline.isoformat())
        return time.monotonic() + seconds
