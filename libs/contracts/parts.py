"""The parts of the system: to add one, begin here."""

SERVICES = ("auth", "tickets", "orders", "payments", "expiration")
"""The parts that are nameko services."""

PARTS = (*SERVICES, "gateway")
"""The top-level packages of the system. None imports another."""

FOLLOWERS = ("gateway", "tickets", "orders", "payments")
"""The parts that verify users' sessions: each follows which of these have ended (libs/revocations.py)."""

OPERATOR = "operator"

MONITOR = "monitor"
"""The user, at every server, of third-party programs that monitor it: exporters and KEDA."""

PRINCIPALS = (*PARTS, OPERATOR)
"""The programs with a key to sign their calls."""

BROKER_USERS, MONGO_USERS = (*PRINCIPALS, MONITOR), (*SERVICES, OPERATOR, MONITOR)
"""The programs with a user of their own at each server."""
