"""The methods that operators may call, by service: what the shell completes (held by tests/security/test_calls.py)."""

from libs.contracts.events import CATALOGUE
from libs.contracts.parts import SERVICES

OF_LISTENERS = (
    *("parked_events", "show_parked", "replay_parked", "discard_parked", "discarded_events", "stuck_events"),
    *("queues", "copies", "messages", "repair"),
)
OWN = {
    "auth": (
        *("set_announcement", "announcement", "find_user", "lock", "unlock", "end_sessions", "remove_second_factor"),
        *("actions", "note_action", "operators", "add_operator", "remove_operator"),
        *("sign_up", "sign_in", "sign_in_with_code", "sign_in_with_passkey", "request_passkey"),
    ),
    "tickets": (
        *("find", "withdraw_by_operator", "snapshots", "versions", "changes"),
        *("get", "list", "event", "sellers", "highlights"),
        *("site_map", "site_map_pages", "site_map_events", "site_map_event_pages"),
    ),
    "orders": (
        *("story", "find", "stuck", "cancel_by_operator", "move_deadline", "expire_now"),
        *("snapshot", "snapshots", "versions", "changes"),
    ),
    "payments": (
        *("story", "find", "stuck", "settle", "settle_all", "refund", "audit"),
        *("snapshots", "versions", "changes"),
    ),
    "expiration": ("jobs", "deadline"),
}
METHODS = {
    name: (*OWN[name], "outboxes", *(OF_LISTENERS if name in CATALOGUE.listeners() else ())) for name in SERVICES
}
