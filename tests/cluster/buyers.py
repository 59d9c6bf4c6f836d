"""People who buy one ticket after the other, whatever happens, and record each response and its time."""

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pymongo
import requests

from dev.testing import repeating
from tests.e2e.people import Person

PAUSE_SECONDS = 0.2
LIMIT_SECONDS = 20
FINISHING_SECONDS = 60
UNCERTAIN = (500, 502, 503, 504)
"""With these, and without an answer, the outcome is unknown."""


@dataclass
class Notes:
    """What happened since the last fault; each request as (when it was sent, how long it took, status or 0)."""

    requests: list[tuple[float, float, int]] = field(default_factory=list)
    bought: list[float] = field(default_factory=list)

    def longest_gap(self, began, ended):
        """Return the longest time in which no ticket was bought."""
        moments = [began, *(moment for moment in sorted(self.bought) if began < moment < ended), ended]
        return max(later - earlier for earlier, later in zip(moments, moments[1:], strict=False))


class Buyers:
    """People who each list a ticket, reserve it as another user and pay; records are of all of them."""

    def __init__(self, url):
        self.notes = Notes()
        self.promised = []
        """(kind, id) of everything acknowledged by 2xx."""
        self.problems = []
        self.give_up_at = math.inf
        self.url = url

    def buy(self, seller, buyer):
        """Buy a ticket, or note why that was not possible."""
        try:
            self._buy(seller, buyer)
        except Exception as problem:  # noqa: BLE001 - the others go on
            self.problems.append(repr(problem))

    def check_promises(self, system):
        """Check that everything acknowledged by 2xx still holds."""
        with pymongo.MongoClient(system.mongo_url("admin")) as mongo:
            for kind, ident in self.promised:
                if kind == "complete":
                    assert mongo.orders.orders.find_one(ident)["status"] == "complete", ident
                else:
                    assert mongo[kind][kind].find_one(ident), f"{kind} {ident} is lost"

    def _buy(self, seller, buyer):
        about = {"title": "Hamlet, row 3", "price": 19.99, "category": "stage"}
        ticket = self._insist(lambda: self._ask(seller, "POST", "/api/tickets", about), (201,))
        self.promised.append(("tickets", ticket["id"]))
        order = self._insist(lambda: self._reserve(buyer, ticket["id"]), (200, 201))
        self.promised.append(("orders", order["id"]))
        self._insist(lambda: self._pay(buyer, order["id"]), (200,))
        self.promised.append(("complete", order["id"]))
        self.notes.bought.append(time.monotonic())

    def _reserve(self, buyer, ticket_id):
        """Reserve a ticket, or find the order that an earlier try may have made."""
        status, body = self._ask(buyer, "POST", "/api/orders", {"ticketId": ticket_id})
        if status != 409:
            return status, body
        status, found = self._ask(buyer, "GET", "/api/orders")
        if status == 200:
            mine = [order for order in found if order["ticket"]["id"] == ticket_id]
            return (200, mine[0]) if mine else (503, {})
        return status, found

    def _pay(self, buyer, order_id):
        """Read an order, and pay it unless that is done; return None until it is complete."""
        status, body = self._ask(buyer, "GET", f"/api/orders/{order_id}")
        if status != 200 or body["status"] == "complete":
            return status, body
        if body["status"] == "created":
            paying = {"orderId": order_id, "token": "tok_visa"}
            status, body = self._ask(buyer, "POST", "/api/payments", paying)
            assert status in (0, 201, 409, *UNCERTAIN), f"{status} {body}"
        return None, body

    def _insist(self, ask, wanted):
        """Repeat a request until an expected answer comes; raise AssertionError for an unexpected one."""
        while True:
            status, body = ask()
            if status in wanted:
                return body
            assert status in (None, 0, *UNCERTAIN), f"{status} {body}"
            if time.monotonic() > self.give_up_at:
                raise TimeoutError("it was not answered in time")
            time.sleep(PAUSE_SECONDS)

    def _ask(self, person, method, path, body=None):
        """Return the status, 0 without an answer, and the body."""
        began, status, answer = time.monotonic(), 0, {}
        try:
            reply = person.http.request(method, self.url + path, json=body, timeout=LIMIT_SECONDS)
            status = reply.status_code
            answer = reply.json() if status not in UNCERTAIN else {}
        except (requests.RequestException, ValueError):
            pass
        self.notes.requests.append((began, time.monotonic() - began, status))
        return status, answer


@contextmanager
def buying(cluster, sessions, number):
    """Let so many people buy at once while the block runs, and then finish what they have begun; yield them.

    Each ticket has another buyer, as payments of one buyer are limited.
    """
    buyers, url = Buyers(cluster.gateway_url), cluster.gateway_url

    def buy(seller, buyer):
        buyers.buy(seller, sessions.begin(buyer))

    pairs = [(sessions.begin(Person(url, "ana")), Person(url, "bo")) for _ in range(number)]
    with repeating([partial(buy, *pair) for pair in pairs]):
        try:
            yield buyers
        finally:
            buyers.give_up_at = time.monotonic() + FINISHING_SECONDS
