"""A small service for the tests of handlers: it handles events of loaves and records them."""

import os
import time

from libs.events import Aggregates, StoreProvider, Unavailable, handles
from libs.events.tests.bakery.catalogue import CATALOGUE, LoafBaked
from libs.schema import Schema


class ProbeStore:
    schema = Schema({})

    def __init__(self, db):
        self.notes = db.notes
        self.behaviours = db.behaviours
        self.loaves = Aggregates(db.loaves)

    def note(self, loaf_id):
        self.notes.insert_one({"loaf_id": loaf_id, "at": time.time(), "pid": os.getpid()})

    def behaviour(self, loaf_id):
        return (self.behaviours.find_one({"_id": loaf_id}) or {}).get("behaviour", "good")


class Probe:
    name = "labels"
    store = StoreProvider(ProbeStore, CATALOGUE)

    @handles(LoafBaked, delays_seconds=(0.05, 0.1))
    def on_loaf_baked(self, loaf):
        self.store.note(loaf["id"])
        behaviour = self.store.behaviour(loaf["id"])
        if behaviour == "bad":
            raise RuntimeError("this loaf makes no sense")
        if behaviour == "unavailable":
            raise Unavailable("the mill is unreachable")
        self.store.note(behaviour)
