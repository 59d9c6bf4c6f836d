"""A small service for the tests of handlers: it listens as `orders` does and notes down what it handles."""

import os
import time

from libs.contracts.events import CATALOGUE, ExpirationComplete
from libs.events import Aggregates, Stored, Unavailable, handles
from libs.rpc.entrypoint import rpc


class ProbeStore:
    def __init__(self, db):
        self.notes = db.notes
        self.orders = db.behaviours
        self.deadlines = Aggregates(db.deadlines)

    def create_indexes(self):
        pass

    def note(self, order_id):
        self.notes.insert_one({"order_id": order_id, "at": time.time(), "pid": os.getpid()})

    def behaviour(self, order_id):
        return (self.orders.find_one({"_id": order_id}) or {}).get("behaviour", "good")


class Probe:
    name = "orders"
    store = Stored(ProbeStore, CATALOGUE)

    @handles(ExpirationComplete, delays_seconds=(0.05, 0.1))
    def on_expiration_complete(self, deadline):
        self.store.note(deadline["order_id"])
        behaviour = self.store.behaviour(deadline["order_id"])
        if behaviour == "bad":
            raise RuntimeError("this order makes no sense")
        if behaviour == "unavailable":
            raise Unavailable("a neighbour is away")
        self.store.note(behaviour)


class Failing:
    """Answers calls, and fails at every event."""

    name = "orders"

    @rpc
    def ping(self):
        return "pong"

    @handles(ExpirationComplete, delays_seconds=(0.05, 0.1))
    def on_expiration_complete(self, deadline):
        raise RuntimeError("this one always fails")
