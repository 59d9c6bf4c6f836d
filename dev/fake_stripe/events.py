"""Stripe's events: a snapshot of an object when something happened to it, stored and handed to the webhooks."""

from typing import Any

import stripe

from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import missing
from dev.fake_stripe.objects import list_page, new_id, now, visible
from dev.fake_stripe.state import Document


def emit(call: Call, type: str, subject: Document) -> None:
    """Store an event about the object as it is now and queue its delivery, in the transaction of the change."""
    event: Document = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": stripe.api_version,
        "created": now(),
        "data": {"object": visible(subject)},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": type,
    }
    event["pending_webhooks"] = call.webhooks.queue(event)
    call.state.add(event, parent=subject["id"])


def retrieve(call: Call, id: str) -> Document:
    """Return one event."""
    event = call.find("event", id)
    if event is None:
        raise missing("event", id, "id", in_url=True)
    return event


def list_events(call: Call) -> Document:
    """Return events, newest first, by `type` or `types`, `created` and `delivery_success`."""
    params = call.params
    wanted = [params["type"]] if "type" in params else params.get("types")

    def keep(event: dict[str, Any]) -> bool:
        delivered = event["pending_webhooks"] == 0
        return _is_wanted(event["type"], wanted) and delivered == params.get("delivery_success", delivered)

    return list_page(call.state, "event", params, "/v1/events", keep=keep)


def _is_wanted(type: str, wanted: list[str] | None) -> bool:
    if wanted is None:
        return True
    return any(type == one or (one.endswith("*") and type.startswith(one[:-1])) for one in wanted)
