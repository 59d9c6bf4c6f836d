"""The users of Redis: the three programs of expiration, with the commands and keys that they need, and an
exporter, which sees the state of the server.

Where there are several Redis servers, each program is a user of the Sentinels too, by the same name and password, and
asks them which server takes writes. The servers and the Sentinels connect to each other as the administrator.
"""

from collections.abc import Mapping

from libs.contracts.parts import MONITOR

ADMINISTRATOR = "ticketing"
PRIMARY = "ticketing"
"""The Sentinels' name for the primary."""
PROGRAMS = ("expiration", "scheduler", "worker")
"""Each has a user of its own name."""

RULES: Mapping[str, str] = {
    "expiration": "~rq:* +@connection +@transaction +@keyspace +@read +@write -@dangerous",
    "scheduler": "~rq:* +@connection +@transaction +@keyspace +@read +@write -@dangerous +info",
    "worker": "~rq:* &rq:* +@connection +@transaction +@keyspace +@read +@write +@pubsub -@dangerous +info",
    MONITOR: "+info +client|setname",  # and not +config|get, which shows the administrator's password
}

ASKS_SENTINEL = "+@connection +sentinel|masters"

DEFAULT = "user default off ~* &* +@all"
"""Nobody can sign in as this user, which is off; but Redis loads its append-only file with this user's rights."""


def acl(passwords: Mapping[str, str]) -> list[str]:
    """Return the lines of Redis's ACL file; `passwords` are those of ADMINISTRATOR and of the users of RULES."""
    return _lines(passwords, RULES)


def sentinel_acl(passwords: Mapping[str, str]) -> list[str]:
    """Return the lines of a Sentinel's ACL file, for ADMINISTRATOR and PROGRAMS."""
    return _lines(passwords, dict.fromkeys(PROGRAMS, ASKS_SENTINEL))


def _lines(passwords: Mapping[str, str], rules: Mapping[str, str]) -> list[str]:
    lines = [f"user {name} on >{passwords[name]} {allowed}" for name, allowed in rules.items()]
    return [DEFAULT, f"user {ADMINISTRATOR} on >{passwords[ADMINISTRATOR]} ~* &* +@all", *lines]
