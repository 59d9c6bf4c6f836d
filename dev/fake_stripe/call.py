"""One call of the API: its caller, its state, and its checked parameters."""

from dataclasses import dataclass, field
from typing import Any

from dev.fake_stripe.state import Document, State
from dev.fake_stripe.webhooks import Webhooks


@dataclass
class Call:
    """What a handler needs: the state, the checked parameters, the caller's origin and keys."""

    state: State
    webhooks: Webhooks
    params: dict[str, Any] = field(default_factory=dict)
    origin: str = "http://127.0.0.1:12111"
    publishable: bool = False
    request_id: str | None = None
    idempotency_key: str | None = None

    def find(self, kind: str, id: str) -> Document | None:
        """Return the object of this kind and id, or None."""
        return self.state.find(kind, id)
