"""The parts of the system: to add one, begin here."""

SERVICES = ("auth", "tickets", "orders", "payments", "expiration")
"""The parts that are nameko services."""

PARTS = (*SERVICES, "gateway")
"""The top-level packages of the system. None imports another."""

FOLLOWERS = ("gateway", "tickets", "orders", "payments")
"""The parts with callers who signed in: each follows which sessions have ended (libs/revocations.py)."""

OPERATOR = "operator"

PRINCIPALS = (*PARTS, OPERATOR)
"""Who has a user of its own at the broker, and a key to sign its calls."""
