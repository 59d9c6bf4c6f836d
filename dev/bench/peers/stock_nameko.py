"""Stock nameko. Reliable: what fails is put back into the queue."""

from typing import Any

from nameko.events import event_handler
from nameko.standalone.events import event_dispatcher

from dev.bench.peers import work


class Peer:
    """Has the effects."""

    name = "peer"

    @event_handler("bench", "changed", requeue_on_error=work.RELIABLE)
    def on_changed(self, ident: Any) -> None:
        """Have the effect."""
        work.handle(ident)


if __name__ == "__main__":
    dispatch = event_dispatcher({"AMQP_URI": work.AMQP_URL})
    work.produce(lambda ident: dispatch("bench", "changed", ident))
