"""The labels: docs/events.md shows all that follows the imports."""

from libs.events import OUTBOX_INDEX, Aggregates, Copies, Schema, StoreProvider, handles
from libs.events.tests.bakery.catalogue import CATALOGUE, LabelPrinted, LoafBaked, LoafSold


class LabelStore:
    schema = Schema({"labels": [OUTBOX_INDEX]})  # with whatever other indexes it needs

    def __init__(self, db):
        self.labels = Aggregates(db.labels)  # our own documents, each with its outbox
        self.loaves = Copies(db.loaves)  # our copies of another service's
        self.prices = db.prices


class LabelsService:
    name = "labels"
    store = StoreProvider(LabelStore, CATALOGUE)  # opens the database, relays the outboxes

    @handles(LoafBaked, LoafSold, delays_seconds=(0.1, 0.5))  # acknowledged only once this has returned
    def on_loaf(self, loaf):
        self.store.loaves.apply(loaf)  # newer wins; a repeat changes nothing
        if self.store.labels.find(loaf["id"]) is None:  # not "if it was new": an earlier try may have died here
            price = self.store.prices.find_one({"_id": loaf["grain"]})["cents"]  # none: retried, and then parked
            label = {"id": loaf["id"], "version": 1, "text": f"{loaf['grain']}, {price} cents"}
            self.store.labels.add(label, LabelPrinted, label)  # the document and its event in one write
