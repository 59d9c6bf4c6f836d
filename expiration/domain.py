"""The rules of a deadline: it is open while its order is unpaid, fires once, and follows the order's newest state."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass
class Deadline:
    """The time by which an order must be paid; its id is the order's. `state` is open, ended or fired."""

    id: str
    version: int
    order_version: int
    expires_at: datetime
    state: str

    @classmethod
    def of(cls, order: dict[str, Any]) -> "Deadline":
        """Return the deadline of an order that is new to us."""
        state = "open" if order["status"] == "created" else "ended"
        return cls(order["id"], 1, order["version"], order["expires_at"], state)

    def apply_order(self, order: dict[str, Any]) -> bool:
        """Apply an order's snapshot; return False unless it is newer than what we have."""
        if order["version"] <= self.order_version:
            return False
        moved = order["expires_at"] != self.expires_at
        self.order_version, self.expires_at = order["version"], order["expires_at"]
        if order["status"] != "created":
            self.state = "ended"
        elif moved:
            self.state = "open"
        self.version += 1
        return True

    def fire(self, now: datetime) -> bool:
        """Fire if it is open and the time has come; return whether it did."""
        if self.state != "open" or now < self.expires_at:
            return False
        self.state = "fired"
        self.version += 1
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return the body of ExpirationComplete."""
        return {"id": self.id, "version": self.version, "order_id": self.id, "expires_at": self.expires_at}
