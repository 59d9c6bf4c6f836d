from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from libs.contracts.errors import NotOwner, TicketWithdrawn
from libs.contracts.events import OrderCreated, OrderedTicket
from orders import domain
from orders.domain import next_status

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=15)
LATE = NOON + WINDOW


def a_ticket(**changes):
    ticket = {
        "id": "t1", "version": 3, "price_version": 2, "seller_id": "ana", "title": "Hamlet",
        "price_cents": 1999, "currency": "usd", "category": "stage", "venue": None, "starts_at": None,
        "withdrawn": False, "status": "on_sale",
    }  # fmt: skip
    return {**ticket, **changes}


def an_order(status="created", **changes):
    order = domain.Order.place("o1", a_ticket(), "bo", 1, NOON + WINDOW, NOON)
    order.status = status
    for name, value in changes.items():
        setattr(order, name, value)
    return order


def a_payment(status, final=False):
    return {"order_id": "o1", "version": 4, "status": status, "final": final, "updated_at": NOON}


def test_reserving_freezes_the_price_for_the_window():
    ticket = a_ticket()
    order = domain.Order.place("o1", ticket, "bo", 7, NOON + WINDOW, NOON)

    ticket["price_cents"] = 9999

    assert order.snapshot()["price_cents"] == 1999
    assert (order.status, order.version, order.reservation_no) == ("created", 1, 7)


def test_a_window_ends_when_the_ticket_starts():
    starts_at = NOON + timedelta(minutes=5)

    order = domain.Order.place("o1", a_ticket(starts_at=starts_at), "bo", 1, NOON + WINDOW, NOON)

    assert order.expires_at == starts_at


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"seller_id": "bo"}, domain.OwnTicket),
        ({"withdrawn": True}, TicketWithdrawn),
        ({"starts_at": NOON}, domain.TicketStarted),
    ],
)
def test_a_ticket_that_cannot_be_bought_is_refused(changes, error):
    with pytest.raises(error):
        domain.check_ticket(a_ticket(**changes), "bo", None, NOON)


def test_a_changed_price_is_refused_with_the_new_price():
    with pytest.raises(domain.PriceChanged) as refusal:
        domain.check_ticket(a_ticket(), "bo", 1, NOON)

    assert refusal.value.details == {"price_cents": 1999, "currency": "usd", "version": 3}


def test_a_copy_older_than_what_the_buyer_saw_is_outdated():
    ours = a_ticket(version=3, price_cents=2999)

    assert domain.is_outdated(ours, seen_version=4)
    assert not domain.is_outdated(ours, seen_version=3)
    assert not domain.is_outdated(ours, seen_version=None)


def test_a_version_since_which_the_price_has_not_changed_is_accepted():
    domain.check_ticket(a_ticket(), "bo", 2, NOON)


def test_the_derived_status_of_a_copy_decides_nothing():
    domain.check_ticket(a_ticket(status="sold"), "bo", None, NOON)


def test_the_buyer_cancels_an_unpaid_order():
    order = an_order()

    event = order.cancel("bo", NOON)

    assert (event, order.status, order.cancel_reason, order.version) == ("OrderCancelled", "cancelled", "buyer", 2)


def test_cancelling_twice_changes_nothing():
    order = an_order("cancelled")

    assert order.cancel("bo", NOON) is None
    assert order.version == 1


def test_a_complete_order_cannot_be_cancelled():
    with pytest.raises(domain.OrderComplete):
        an_order("complete").cancel("bo", NOON)


def test_an_order_being_paid_cannot_be_cancelled():
    with pytest.raises(domain.OrderBeingPaid):
        an_order("awaiting_payment").cancel("bo", NOON)


def test_somebody_elses_order_cannot_be_cancelled():
    with pytest.raises(NotOwner):
        an_order().cancel("cy", NOON)


def test_an_order_expires_at_its_deadline_and_not_before():
    order = an_order()

    assert order.expire(LATE - timedelta(milliseconds=1), is_unpaid=True) is None
    assert order.expire(LATE, is_unpaid=True) == "OrderCancelled"
    assert order.cancel_reason == "expired"


def test_an_order_about_whose_payment_nothing_can_be_learned_expires_ten_minutes_later():
    order, last = an_order(), LATE + timedelta(minutes=10)

    assert order.expire(last - timedelta(milliseconds=1), is_unpaid=False) is None
    assert order.expire(last, is_unpaid=False) == "OrderCancelled"
    assert order.cancel_reason == "expired"


@pytest.mark.parametrize("status", ["awaiting_payment", "complete", "cancelled"])
def test_nothing_but_an_unpaid_order_expires(status):
    assert an_order(status).expire(LATE + WINDOW, is_unpaid=True) is None


@pytest.mark.parametrize("arrives_at", [NOON, LATE, LATE + WINDOW])
def test_an_authorization_stops_the_clock_however_late_its_event_arrives(arrives_at):
    order = an_order()

    assert order.apply_payment(a_payment("authorized"), arrives_at) == "OrderAwaitingPayment"
    assert order.expire(LATE + WINDOW, is_unpaid=True) is None


def test_an_order_knows_the_newest_version_of_its_payment_that_was_applied_to_it():
    order = an_order()
    order.apply_payment(a_payment("captured"), NOON)

    assert order.apply_payment(a_payment("captured") | {"version": 6}, NOON) is None
    order.apply_payment(a_payment("authorized") | {"version": 3}, NOON)

    assert order.payment_version == 6
    assert "payment_version" not in order.snapshot()


@pytest.mark.parametrize("status", ["created", "awaiting_payment"])
def test_a_capture_completes(status):
    order = an_order(status)

    assert order.apply_payment(a_payment("captured"), LATE + WINDOW) == "OrderCompleted"
    assert order.status == "complete"


@pytest.mark.parametrize("status", ["created", "awaiting_payment"])
def test_only_a_final_failure_cancels(status):
    order = an_order(status)

    assert order.apply_payment(a_payment("open"), NOON) is None
    assert order.apply_payment(a_payment("cancelled", final=True), NOON) == "OrderCancelled"
    assert order.cancel_reason == "payment_failed"


def test_a_refund_is_recorded_and_cancels_nothing():
    order = an_order("complete")

    assert order.apply_payment(a_payment("refunded"), NOON) == "OrderUpdated"
    assert (order.status, order.refunded_at) == ("complete", NOON)
    assert order.apply_payment(a_payment("refunded"), NOON) is None


@pytest.mark.parametrize(("amount", "refunded_at"), [(500, None), (1499, NOON), (1999, NOON)])
def test_of_a_lost_dispute_as_much_counts_as_was_disputed(amount, refunded_at):
    order = an_order("complete")
    lost = {"refunded_cents": 500, "dispute": {"status": "lost", "amount_cents": amount}}

    assert order.apply_payment(a_payment("captured") | lost, NOON) == "OrderUpdated"

    assert (order.refunded_cents, order.refunded_at) == (min(1999, 500 + amount), refunded_at)


def test_a_partial_refund_is_recorded_once_and_a_full_one_after_it():
    order = an_order("complete")
    partly = a_payment("captured") | {"refunded_cents": 500, "version": 5}

    assert order.apply_payment(partly, NOON) == "OrderUpdated"
    assert (order.snapshot()["refunded_cents"], order.refunded_at) == (500, None)
    assert order.apply_payment(partly, NOON) is None
    assert order.apply_payment(a_payment("captured"), NOON) is None  # an older snapshot, late
    assert order.apply_payment(a_payment("refunded") | {"version": 6}, NOON) == "OrderUpdated"
    assert order.snapshot()["refunded_cents"] == order.ticket["price_cents"]


def test_a_refund_that_came_back_is_no_refund_whatever_older_event_comes_late():
    order = an_order("complete")
    refunded, came_back = a_payment("refunded"), a_payment("captured") | {"version": 5}
    order.apply_payment(refunded, NOON)

    assert order.apply_payment(came_back, NOON) == "OrderUpdated"
    assert order.apply_payment(refunded, NOON) is None
    assert (order.refunded_cents, order.refunded_at, order.status) == (0, None, "complete")


def test_a_new_dispute_takes_back_nothing_of_what_an_earlier_one_has_returned():
    order = an_order("complete")
    lost = {"dispute": {"status": "lost", "amount_cents": 500, "lost_cents": 500}}
    another = {"dispute": {"status": "needs_response", "amount_cents": 300, "lost_cents": 500}, "version": 5}

    order.apply_payment(a_payment("captured") | lost, NOON)
    order.apply_payment(a_payment("captured") | another, NOON)

    assert order.refunded_cents == 500


@pytest.mark.parametrize("status", ["created", "awaiting_payment"])
def test_an_order_of_which_a_part_was_taken_and_given_back_is_cancelled_and_says_so(status):
    order = an_order(status)
    given_back = a_payment("cancelled", final=True) | {"refunded_cents": 500}

    assert order.apply_payment(given_back, NOON) == "OrderCancelled"
    assert (order.snapshot()["refunded_cents"], order.refunded_at) == (500, NOON)
    assert order.apply_payment(given_back, NOON) is None


def test_no_payment_moves_a_terminal_order():
    states = product(
        ("complete", "cancelled"),
        ("open", "authorized", "captured", "cancelled", "refunded"),
        (False, True),
    )

    assert {next_status(*state) for state in states} == {None}


def test_a_repeated_snapshot_changes_nothing():
    order = an_order()
    order.apply_payment(a_payment("authorized"), NOON)
    version = order.version

    assert order.apply_payment(a_payment("authorized"), NOON) is None
    assert order.version == version


@pytest.mark.parametrize(
    ("status", "why"), [("complete", "is complete"), ("cancelled", "is cancelled"), ("awaiting_payment", "being paid")]
)
def test_operator_who_moves_the_deadline_of_an_order_without_one_reads_why_not(status, why):
    order = an_order(status)

    for move in (lambda: order.move_deadline(LATE + WINDOW, NOON), lambda: order.expire_now(NOON)):
        with pytest.raises(domain.NoDeadline, match=f"This order {why}|This order is {why}"):
            move()
    assert order == an_order(status)


@pytest.mark.parametrize("ago", [timedelta(), timedelta(milliseconds=1), timedelta(days=300)])
def test_operator_who_moves_a_deadline_into_the_past_reads_what_to_do_instead(ago):
    order = an_order()

    with pytest.raises(domain.DeadlinePassed, match="has passed; expire_now ends an order at once"):
        order.move_deadline(NOON - ago, NOON)
    assert order == an_order()


def test_an_order_whose_time_an_operator_ends_is_overdue_at_once_and_stays_as_it_is_then():
    order = an_order()

    assert order.expire_now(NOON) == "OrderUpdated"
    assert order.is_overdue(NOON) and order.expires_at == NOON
    assert order.expire_now(LATE) is None and order.expires_at == NOON


def test_no_operator_moves_a_deadline_beyond_the_start():
    starts_at = NOON + timedelta(minutes=5)
    order = domain.Order.place("o1", a_ticket(starts_at=starts_at), "bo", 1, NOON + timedelta(minutes=2), NOON)

    order.move_deadline(LATE, NOON)

    assert order.expires_at == starts_at
    with pytest.raises(domain.StartsTooSoon, match="ends when the event starts"):
        order.move_deadline(LATE, NOON)
    assert order.version == 2


def test_a_deadline_that_an_operator_moves_nowhere_changes_nothing():
    order = an_order()

    assert order.move_deadline(order.expires_at, NOON) is None
    assert order == an_order()


@pytest.mark.parametrize("status", ["created", "cancelled"])
def test_a_buyer_who_may_reserve_one_ticket_reads_of_one(status):
    hold = {"status": status, "slot": 0, "created_at": NOON, "expires_at": LATE}

    with pytest.raises(domain.TooManyReservations, match=r"\b1 (unpaid reservation\.|ticket within)"):
        domain.free_slots([hold], 1, 1, NOON)


LAST_MINUTE = LATE - timedelta(minutes=1)


def test_a_buyer_extends_the_time_to_pay_once_by_five_minutes():
    order = an_order()

    assert order.extend("bo", LAST_MINUTE) == "OrderUpdated"
    assert order.extend("bo", LAST_MINUTE) is None
    assert (order.expires_at, order.is_extendable) == (LATE + timedelta(minutes=5), False)
    assert order.extend("bo", LATE + timedelta(minutes=4)) is None
    assert [change.get("extended_to") for change in order.log][-1] == LATE + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("now", "changes", "error"),
    [
        (LATE - timedelta(minutes=2, milliseconds=1), {}, domain.TooEarlyToExtend),
        (LATE, {}, domain.DeadlinePassed),
        (LAST_MINUTE, {"status": "awaiting_payment"}, domain.NoDeadline),
        (LAST_MINUTE, {"status": "complete"}, domain.NoDeadline),
        (LAST_MINUTE, {"status": "cancelled"}, domain.NoDeadline),
        (LAST_MINUTE, {"ticket": a_ticket(starts_at=LATE)}, domain.StartsTooSoon),
        (LAST_MINUTE, {"buyer_id": "cy"}, NotOwner),
    ],
)
def test_a_buyer_cannot_extend_early_late_while_paying_or_beyond_the_start(now, changes, error):
    order = an_order(**changes)

    with pytest.raises(error):
        order.extend("bo", now)
    assert order == an_order(**changes)


def test_an_extended_time_to_pay_ends_with_the_start():
    starts_at = LATE + timedelta(minutes=3)
    order = an_order(ticket=a_ticket(starts_at=starts_at))

    order.extend("bo", LAST_MINUTE)

    assert order.expires_at == starts_at


def test_events_declare_every_field_of_an_order_and_of_its_ticket():
    order = an_order().snapshot()

    assert order.keys() == OrderCreated.schema.fields.keys()
    assert order["ticket"].keys() == OrderedTicket().fields.keys()
