"""Who may do what at Redis: the three programs of expiration, with the commands and keys that they need."""

from collections.abc import Mapping

ADMINISTRATOR = "ticketing"
PROGRAMS = ("expiration", "scheduler", "worker")
"""Each has a user of its own name."""

RULES: Mapping[str, str] = {
    "expiration": "~rq:* +@connection +@transaction +@keyspace +@read +@write -@dangerous",
    "scheduler": "~rq:* +@connection +@transaction +@keyspace +@read +@write -@dangerous +info",
    "worker": "~rq:* &rq:* +@connection +@transaction +@keyspace +@read +@write +@pubsub -@dangerous +info",
}

DEFAULT = "user default off ~* &* +@all"
"""Nobody can be this user, who is off; but Redis loads its own file of transactions with this user's rights."""


def acl(passwords: Mapping[str, str]) -> list[str]:
    """Return the lines of Redis's ACL file; `passwords` are those of ADMINISTRATOR and PROGRAMS."""
    lines = [f"user {name} on >{passwords[name]} {rules}" for name, rules in RULES.items()]
    return [DEFAULT, f"user {ADMINISTRATOR} on >{passwords[ADMINISTRATOR]} ~* &* +@all", *lines]
