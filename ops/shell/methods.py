"""The methods that operators may call, by service, for the shell's completion (see tests/security/test_calls.py).

Those that are not listed as look-ups ask first in the shell, even one that is missing here.
"""

from libs.contracts.events import CATALOGUE
from libs.contracts.parts import SERVICES

LOOK_UPS_OF_LISTENERS = (
    *("parked_events", "show_parked", "discarded_events", "stuck_events"),
    *("queues", "copies", "messages"),
)
CHANGES_OF_LISTENERS = ("replay_parked", "discard_parked", "repair")
OWN_LOOK_UPS = {
    "auth": ("announcement", "find_user", "actions", "operators"),
    "tickets": (
        *("find", "snapshots", "versions", "changes"),
        *("get", "list", "event", "sellers", "highlights"),
        *("site_map", "site_map_pages", "site_map_events", "site_map_event_pages"),
    ),
    "orders": ("story", "find", "stuck", "snapshot", "snapshots", "versions", "changes"),
    "payments": ("story", "find", "stuck", "snapshots", "versions", "changes"),
    "expiration": ("jobs", "deadline"),
}
OWN_CHANGES = {
    "auth": (
        *("set_announcement", "lock", "unlock", "end_sessions", "remove_second_factor"),
        *("note_action", "add_operator", "remove_operator"),
        *("sign_up", "sign_in", "sign_in_with_code", "sign_in_with_passkey", "request_passkey"),
    ),
    "tickets": ("withdraw_by_operator",),
    "orders": ("cancel_by_operator", "move_deadline", "expire_now"),
    "payments": ("settle", "settle_all", "refund", "audit"),
}


def _of_listener(service: str, methods: tuple[str, ...]) -> tuple[str, ...]:
    return methods if service in CATALOGUE.listeners() else ()


LOOK_UPS = {
    name: (*OWN_LOOK_UPS.get(name, ()), "outboxes", *_of_listener(name, LOOK_UPS_OF_LISTENERS)) for name in SERVICES
}
METHODS = {
    name: (*LOOK_UPS[name], *OWN_CHANGES.get(name, ()), *_of_listener(name, CHANGES_OF_LISTENERS)) for name in SERVICES
}


def is_look_up(method: str) -> bool:
    """Return whether a method, such as "orders.story", is known to change nothing."""
    service, _, name = method.partition(".")
    return name in LOOK_UPS.get(service, ())
