"""Our library: the event is stored with the change, and the relay of the same process publishes it."""

import threading
import time
from typing import Any

from dev.bench.peers import work
from libs.amqp import Publisher
from libs.contracts.events import CATALOGUE, ExpirationComplete
from libs.database import connect
from libs.events import OUTBOX_INDEX, Aggregates, Relay, handles


class Peer:
    """Stores the effects."""

    name = "orders"

    @handles(ExpirationComplete)
    def on_expiration_complete(self, deadline: dict[str, Any]) -> None:
        """Store the effect."""
        work.handle(deadline["order_id"])


def main() -> None:
    """Make changes."""
    changes = Aggregates(connect(work.MONGO_URL).changes)
    changes.collection.create_indexes([OUTBOX_INDEX])
    relay = Relay(Publisher(work.AMQP_URL, declare=CATALOGUE.declare), [changes])
    relay.attach()
    threading.Thread(target=relay.run, daemon=True).start()

    def change(ident: str) -> None:
        fields = {"id": ident, "version": 1, "order_id": ident, "expires_at": "2026-11-22T12:00:00.000Z"}
        changes.add({**fields, "at": time.time()}, ExpirationComplete, fields)

    work.produce(lambda ident: None, change)


if __name__ == "__main__":
    main()
