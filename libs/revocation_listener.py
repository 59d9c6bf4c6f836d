"""The background threads that keep a process's list of revocations current: one polls auth, one listens for when to."""

from libs.amqp.broadcasts import BroadcastListener
from libs.revocations import Revocations
from libs.threads import BackgroundThreads

EXCHANGE = "auth.events"
ROUTING_KEY = "SessionRevoked"


class RevocationListener:
    """Follows the revocations, and polls at once whenever auth's SessionRevoked arrives, whatever is in it."""

    def __init__(self, part: str, amqp_url: str, revocations: Revocations) -> None:
        self._revocations = revocations
        name = f"{part}.{ROUTING_KEY}"
        listener = BroadcastListener(name, amqp_url, EXCHANGE, ROUTING_KEY, lambda _message: revocations.wake())
        self._threads = BackgroundThreads("revocations", revocations.follow, listener.run)

    def start(self) -> None:
        """Start once per process."""
        self._threads.start()

    def stop(self) -> None:
        """Stop following; the thread that listens ends within some seconds, or with the process."""
        self._threads.stopping.set()
        self._revocations.wake()
