"""The parts of the system: to add one, begin here."""

SERVICES = ("auth", "tickets", "orders", "payments", "expiration")
"""The parts that are nameko services."""

PARTS = (*SERVICES, "gateway")
"""The top-level packages of the system. None imports another."""

FOLLOWERS = ("gateway", "tickets", "orders", "payments")
"""The parts with callers who signed in: each follows which sessions have ended (libs/revocations.py)."""

OPERATOR = "operator"

MONITOR = "monitor"
"""The user, at every server, of third-party programs that monitor it: exporters and KEDA."""

PRINCIPALS = (*PARTS, OPERATOR)
"""Who has a key to sign its calls."""

BROKER_USERS, MONGO_USERS = (*PRINCIPALS, MONITOR), (*SERVICES, OPERATOR, MONITOR)
"""Who has a user of its own at each server."""
