"""Two services that get the same events and the same trouble: ours, and one as stock nameko makes them.

The loaf's id says what happens to the handler: see `handle`.
"""

import os

from nameko.events import event_handler
from nameko.extensions import DependencyProvider

from dev.testing import wait_for
from libs.database import connect
from libs.events import StoreProvider, handles
from libs.events.tests.bakery.catalogue import CATALOGUE, LoafBaked
from libs.schema import Schema


class Notes:
    """What a service began and finished to handle, kept outside of it."""

    schema = Schema({})

    def __init__(self, db):
        self.collection = db.notes

    def begin(self, service, event):
        """Note that an event is being handled; return whether for the first time."""
        self.collection.insert_one({"service": service, "event": event, "what": "begun"})
        return self.collection.count_documents({"service": service, "event": event, "what": "begun"}) == 1

    def await_release(self):
        wait_for(lambda: self.collection.count_documents({"what": "released"}), 30)

    def finish(self, service, event):
        self.collection.insert_one({"service": service, "event": event, "what": "finished"})


class Database(DependencyProvider):
    def get_dependency(self, worker_ctx):
        return Notes(connect(self.container.config["MONGO_URL"]))


def handle(notes, service, event):
    first = notes.begin(service, event)
    if event == "fails-always" or (event == "fails-once" and first):
        raise RuntimeError("this makes no sense")
    if event == "dies-once" and first:
        os._exit(9)
    if event == "is-slow":
        notes.await_release()
    notes.finish(service, event)


class Ours:
    name = "labels"
    notes = StoreProvider(Notes, CATALOGUE)

    @handles(LoafBaked, delays_seconds=(0.05, 0.1))
    def on_loaf_baked(self, loaf):
        handle(self.notes, "ours", loaf["id"])


class Stock:
    name = "stock"
    notes = Database()

    @event_handler("oven", "LoafBaked")
    def on_loaf_baked(self, loaf):
        handle(self.notes, "stock", loaf["id"])
