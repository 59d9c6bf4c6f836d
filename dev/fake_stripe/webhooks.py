"""Delivery of events to the webhook's address: signed, retried until a 2xx; and ways to make it go wrong.

A rule (POST /_control/webhooks) acts on events whose type matches `match` (`*`), `count` times (always); the
first rule that matches wins. Rules are kept in memory, waiting deliveries in the state.

| action | effect |
| --- | --- |
| drop | never delivered |
| duplicate | delivered `times` times (2) |
| delay | delivered `seconds` later (1) |
| reorder | held back until the next event has been tried, `seconds` (5) at the longest |
| fail | the first `times` (1) tries count as answered 500, so they are retried |
| fail with `sent: false` | those tries are not even sent |
"""

import fnmatch
import json
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import stripe

from dev.fake_stripe.state import Document, State

LOOPBACK = ("127.0.0.1", "localhost")
SENDERS = 4  # in parallel, so the order is not guaranteed; neither is Stripe's
TIMEOUT = 10.0  # seconds for one try
FIRST_PAUSE, LONGEST_PAUSE, MOST_TRIES = 0.5, 60.0, 20
ACTIONS = ("drop", "duplicate", "delay", "reorder", "fail")
DUE = """select * from deliveries where due <= ? and not exists (
    select 1 from deliveries earlier where earlier.id = deliveries.after and earlier.attempts = 0
) order by due, id limit ?"""


@dataclass
class Rule:
    """A rule for the deliveries of some events; see the table above."""

    action: str
    match: str = "*"
    count: int | None = None
    times: int | None = None
    seconds: float | None = None
    sent: bool = True

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}")


class Webhooks:
    """The queue of deliveries (kept in the state) and the threads that send them.

    `types`: those of the events to which the endpoint subscribes, None for all.
    """

    def __init__(
        self,
        state: State,
        url: str | None,
        secret: str,
        only_to_this_machine: bool = True,
        types: Container[str] | None = None,
    ) -> None:
        if url and only_to_this_machine and urlsplit(url).hostname not in LOOPBACK:
            raise ValueError(f"The fake Stripe sends webhooks to this machine only, not to {url}")
        self.state, self.url, self.secret, self.types = state, url, secret, types
        self.rules: list[Rule] = []
        self._held: list[int] = []
        self._in_flight = 0
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._has_queued = True  # by a process before this one, perhaps
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())

    def queue(self, event: Document) -> int:
        """Queue the event's delivery as the rules say, in the caller's transaction; returns the number of addresses."""
        if self.url is None or (self.types is not None and event["type"] not in self.types):
            return 0
        rule = self._rule(event["type"])
        copies = 0 if rule and rule.action == "drop" else 1
        if rule and rule.action == "duplicate":
            copies = rule.times or 2
        ids = [self._insert(event, rule) for _ in range(copies)]
        if rule and rule.action == "reorder":
            self._held += ids
        elif ids:
            self._release_held(after=ids[-1])
        return 1

    def _rule(self, type: str) -> Rule | None:
        for rule in self.rules:
            if fnmatch.fnmatch(type, rule.match) and rule.count != 0:
                rule.count = None if rule.count is None else rule.count - 1
                return rule
        return None

    def _insert(self, event: Document, rule: Rule | None) -> int:
        due, feigned, sent = time.time(), 0, True
        if rule and rule.action == "delay":
            due += 1.0 if rule.seconds is None else rule.seconds
        if rule and rule.action == "reorder":
            due += 5.0 if rule.seconds is None else rule.seconds
        if rule and rule.action == "fail":
            feigned, sent = rule.times or 1, rule.sent
        self._has_queued = True
        row = (event["id"], event["type"], feigned, sent, due)
        insert = "insert into deliveries (event, type, feigned, sent, due) values (?, ?, ?, ?, ?)"
        return self.state.db.execute(insert, row).lastrowid or 0

    def _release_held(self, after: int | None) -> None:
        for id in self._held:
            self.state.db.execute("update deliveries set due = ?, after = ? where id = ?", (time.time(), after, id))
        self._held = []

    def use_plain_delivery(self) -> None:
        """Drop every rule and send held-back deliveries."""
        with self.state.transaction():
            self.rules = []
            self.state.db.execute("update deliveries set due = ? where attempts = 0", (time.time(),))
            self._release_held(after=None)
        self.wake()

    def forget(self) -> None:
        """Drop the rules, and return once nothing is being sent any more."""
        self.rules, self._held = [], []
        end = time.monotonic() + TIMEOUT
        while self._in_flight and time.monotonic() < end:
            time.sleep(0.005)

    def report(self) -> dict[str, Any]:
        """Return the rules in force and the waiting deliveries."""
        with self.state.transaction():
            waiting = [dict(row) for row in self.state.db.execute("select * from deliveries order by id")]
        return {"rules": [asdict(rule) for rule in self.rules], "waiting": waiting}

    def start(self) -> None:
        """Send in the background until `stop`."""
        self._pool = ThreadPoolExecutor(SENDERS, "webhook")
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; waiting deliveries stay in the state."""
        self._stopped.set()
        self.wake()
        self._thread.join(TIMEOUT)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def send_queued(self) -> None:
        """Wake if anything was queued."""
        if self._has_queued:
            self.wake()

    def wake(self) -> None:
        """Look for due deliveries now: a transaction that queued some has ended."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            claimed, pause = self._claim()
            for delivery in claimed:
                self._pool.submit(self._deliver, delivery)
            self._wake.wait(pause)

    def _claim(self) -> tuple[list[sqlite3.Row], float]:
        """Take due deliveries for as many senders as are free; one lost with the process becomes due again later.

        Returns them, and in how many seconds the next is due.
        """
        with self.state.transaction():
            free = SENDERS - self._in_flight
            claimed = self.state.db.execute(DUE, (time.time(), free)).fetchall() if free > 0 else []
            for row in claimed:
                self.state.db.execute(
                    "update deliveries set due = ? where id = ?", (time.time() + 3 * TIMEOUT, row["id"])
                )
            self._in_flight += len(claimed)
            self._has_queued = False
            due = self.state.db.execute("select min(due) from deliveries where due > ?", (time.time(),)).fetchone()[0]
        return claimed, 5.0 if due is None else min(5.0, max(0.01, due - time.time()))

    def _deliver(self, delivery: sqlite3.Row) -> None:
        accepted = False
        try:
            accepted = self._try(delivery)
        finally:
            with self.state.transaction():
                self._in_flight -= 1
                self._note(delivery, accepted)
            self.wake()

    def _try(self, delivery: sqlite3.Row) -> bool:
        feigned = delivery["attempts"] < delivery["feigned"]
        if feigned and not delivery["sent"]:
            return False
        with self.state.transaction():
            event = self.state.find("event", delivery["event"])
        return event is not None and self._post(event) and not feigned

    def _post(self, event: Document) -> bool:
        body = json.dumps(event)
        signature = stripe.WebhookSignature.generate_signature_header(body, self.secret)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature,
            "User-Agent": "Stripe/1.0 (fake)",
        }
        request = urllib.request.Request(self.url or "", body.encode(), headers)  # noqa: S310 - our own address, checked at the start
        try:
            with self._opener.open(request, timeout=TIMEOUT) as reply:
                return bool(200 <= reply.status < 300)
        except (OSError, urllib.error.HTTPError):
            return False

    def _note(self, delivery: sqlite3.Row, accepted: bool) -> None:
        tries = delivery["attempts"] + 1
        if accepted or tries >= MOST_TRIES:
            self.state.db.execute("delete from deliveries where id = ?", (delivery["id"],))
        else:
            due = time.time() + min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE)
            self.state.db.execute(
                "update deliveries set attempts = ?, due = ? where id = ?", (tries, due, delivery["id"])
            )
        event = self.state.find("event", delivery["event"])
        if accepted and event:
            self.state.save({**event, "pending_webhooks": 0})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is no 2xx: Stripe does not follow it."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None
