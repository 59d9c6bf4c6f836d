"""The oven: bakes what is delivered, and publishes it."""

from libs.clock import utc_now
from libs.events import OUTBOX_INDEX, Aggregates, Schema, StoreProvider, handles
from libs.events.tests.bakery.catalogue import CATALOGUE, FlourDelivered, LoafBaked


class OvenStore:
    schema = Schema({"loaves": [OUTBOX_INDEX]})

    def __init__(self, db):
        self.loaves = Aggregates(db.loaves)


class OvenService:
    name = "oven"
    store = StoreProvider(OvenStore, CATALOGUE)

    @handles(FlourDelivered)
    def on_flour_delivered(self, flour):
        if self.store.loaves.find(flour["id"]) is None:
            loaf = {"id": flour["id"], "version": 1, "grain": flour["grain"], "baked_at": utc_now().isoformat()}
            self.store.loaves.add(loaf, LoafBaked, loaf)
