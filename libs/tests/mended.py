"""A service that hears an event, at its second try, and says in a call of which it has heard."""

from libs.events import handles
from libs.events.tests.bakery.catalogue import LoafBaked
from libs.rpc.entrypoint import rpc

TRIED: set[str] = set()
HANDLED: list[str] = []


class Mended:
    name = "labels"

    @handles(LoafBaked, delays_seconds=(0.05,))
    def on_loaf_baked(self, loaf):
        if loaf["id"] not in TRIED:
            TRIED.add(loaf["id"])
            raise RuntimeError("the first try fails")
        HANDLED.append(loaf["id"])

    @rpc
    def handled(self):
        return HANDLED
