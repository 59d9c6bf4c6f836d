from libs.clock import utc_now
from ops.shell.story import timeline

MINUTE = "2026-11-22T12:{:02}:00.000Z"


def change(at, version, event, status="created", **about):
    return {"at": MINUTE.format(at), "version": version, "event": event, "status": status, **about}


def test_operators_see_that_the_buyer_extended_the_time_to_pay_and_until_when():
    log = [
        change(0, 1, "OrderCreated"),
        change(14, 2, "OrderUpdated", extended_to=MINUTE.format(20)),
        change(16, 3, "OrderUpdated"),
        change(20, 4, "OrderCancelled", "cancelled"),
    ]
    order = {"id": "o1", "version": 4, "buyer_id": "bo", "cancel_reason": "expired", "log": log}
    order |= {"created_at": MINUTE.format(0), "expires_at": MINUTE.format(20), "status": "cancelled"}

    lines = [(line["who"], line["what"]) for line in timeline(order, None, None, {}, [], utc_now())]

    assert lines == [
        ("buyer bo", "reserved"),
        ("buyer bo", "extended the time to pay until 2026-11-22T12:20:00.000Z"),
        ("orders", "changed"),
        ("orders", "cancelled (expired)"),
        ("deadline", "the time to pay ends"),
    ]
