"""Stock nameko. Reliable: failed events are requeued."""

from typing import Any

from nameko.events import event_handler
from nameko.standalone.events import event_dispatcher

from dev.bench.peers import work


class Peer:
    """Stores the effects."""

    name = "peer"

    @event_handler("bench", "changed", requeue_on_error=work.RELIABLE)
    def on_changed(self, ident: Any) -> None:
        """Store the effect."""
        work.handle(ident)


if __name__ == "__main__":
    dispatch = event_dispatcher({"AMQP_URI": work.AMQP_URL})
    work.produce(lambda ident: dispatch("bench", "changed", ident))
