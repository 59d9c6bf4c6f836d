"""A small service that handles events of loaves in batches, and notes which came in which call."""

import os
import uuid

from libs.events import StoreProvider, handles_batches
from libs.events.tests.bakery.catalogue import CATALOGUE, LoafBaked
from libs.schema import Schema


class ProbeStore:
    schema = Schema({})

    def __init__(self, db):
        self.notes = db.notes


class BatchProbe:
    name = "labels"
    store = StoreProvider(ProbeStore, CATALOGUE)

    @handles_batches(LoafBaked, delays_seconds=(0.05, 0.1))
    def on_loaves(self, loaves):
        """Note the loaves in one write; the first time, the process ends between that and the acknowledgement."""
        call, is_first = uuid.uuid4().hex, self.store.notes.count_documents({}) == 0
        notes = [{"loaf_id": loaf["id"], "version": loaf["version"], "call": call} for loaf in loaves]
        if any(loaf["id"] == "poison" for loaf in loaves):
            raise RuntimeError("this loaf makes no sense")
        self.store.notes.insert_many(notes)
        if is_first:
            os._exit(137)  # as a process that was killed
