"""People who buy one ticket after the other, whatever happens, and note what they were answered and when."""

import threading
import time
from dataclasses import dataclass, field

import requests

from tests.e2e.people import Person

PAUSE_SECONDS = 0.2
LIMIT_SECONDS = 20
FINISHING_SECONDS = 60
UNCERTAIN = (500, 502, 503, 504)
"""With these, and with no answer, nobody knows what was done."""


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
    """So many people at once; each lists a ticket, reserves it as somebody else and pays."""

    def __init__(self, cluster, sessions, number):
        self.notes = Notes()
        self.promised = []
        """(kind, id) of everything that was answered by 2xx."""
        self.problems = []
        self._stopping, self._given_up = threading.Event(), threading.Event()
        self._url = cluster.gateway_url
        pairs = [(self._person(sessions, "ana"), self._person(sessions, "bo")) for _ in range(number)]
        self._threads = [threading.Thread(target=self._keep_buying, args=pair) for pair in pairs]

    def _person(self, sessions, name):
        return sessions.begin(Person(self._url, name))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        """Let everybody finish what they have begun, for as long as that may take."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(FINISHING_SECONDS)
        self._given_up.set()
        for thread in self._threads:
            thread.join()

    def _keep_buying(self, seller, buyer):
        while not self._stopping.is_set():
            try:
                self._buy(seller, buyer)
            except Exception as problem:  # noqa: BLE001 - a thread cannot fail a test
                self.problems.append(repr(problem))

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
        """Look at an order, and pay unless that is done; say None until it is complete."""
        status, body = self._ask(buyer, "GET", f"/api/orders/{order_id}")
        if status != 200 or body["status"] == "complete":
            return status, body
        if body["status"] == "created":
            paying = {"orderId": order_id, "token": "tok_visa"}
            status, body = self._ask(buyer, "POST", "/api/payments", paying)
            assert status in (0, 201, 409, *UNCERTAIN), f"{status} {body}"
        return None, body

    def _insist(self, ask, wanted):
        """Ask again until there is an answer that is wanted; raise AssertionError for one that is not."""
        while True:
            status, body = ask()
            if status in wanted:
                return body
            assert status in (None, 0, *UNCERTAIN), f"{status} {body}"
            if self._given_up.is_set():
                raise TimeoutError("it was not answered in time")
            time.sleep(PAUSE_SECONDS)

    def _ask(self, person, method, path, body=None):
        """Return the status, 0 without an answer, and the body."""
        began, status, answer = time.monotonic(), 0, {}
        try:
            reply = person.http.request(method, self._url + path, json=body, timeout=LIMIT_SECONDS)
            status = reply.status_code
            answer = reply.json() if status not in UNCERTAIN else {}
        except (requests.RequestException, ValueError):
            pass
        self.notes.requests.append((began, time.monotonic() - began, status))
        return status, answer
