from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts.errors import NotOwner, TicketReserved, TicketSold, TicketWithdrawn
from libs.contracts.events import Seat, TicketCreated
from tickets import domain

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DETAILS = {"title": "Hamlet, row 3", "price_cents": 1999, "category": "stage"}


def a_ticket(**details):
    return domain.Ticket.create("t1", "ana", "usd", NOON, **{**DETAILS, **details})


def an_order(status, reservation_no=1, version=1, refunded_cents=0):
    return {
        "id": f"o{reservation_no}",
        "reservation_no": reservation_no,
        "version": version,
        "status": status,
        "expires_at": NOON,
        "price_cents": 1999,
        "refunded_at": None,
        "refunded_cents": refunded_cents,
    }


def test_a_new_ticket_is_on_sale():
    assert a_ticket().status == "on_sale"


@pytest.mark.parametrize(
    ("order_status", "status"),
    [("created", "reserved"), ("awaiting_payment", "reserved"), ("complete", "sold"), ("cancelled", "on_sale")],
)
def test_a_tickets_status_follows_its_newest_order(order_status, status):
    ticket = a_ticket()

    ticket.apply_order(an_order(order_status), NOON)

    assert ticket.status == status


def test_a_late_event_of_a_dead_order_frees_nothing():
    ticket = a_ticket()
    ticket.apply_order(an_order("created", reservation_no=2), NOON)

    changed = ticket.apply_order(an_order("cancelled", reservation_no=1, version=9), NOON)

    assert (changed, ticket.status) == (False, "reserved")


def test_created_after_cancelled_locks_nothing():
    ticket = a_ticket()
    ticket.apply_order(an_order("cancelled", version=2), NOON)

    assert ticket.apply_order(an_order("created", version=1), NOON) is False
    assert ticket.status == "on_sale"


def test_the_same_event_twice_changes_nothing():
    ticket = a_ticket()
    ticket.apply_order(an_order("created"), NOON)
    version = ticket.version

    assert ticket.apply_order(an_order("created"), NOON) is False
    assert ticket.version == version


@pytest.mark.parametrize(("status", "error"), [("created", TicketReserved), ("complete", TicketSold)])
def test_a_reserved_or_sold_ticket_cannot_be_edited_or_withdrawn(status, error):
    ticket = a_ticket()
    ticket.apply_order(an_order(status), NOON)

    with pytest.raises(error):
        ticket.edit("ana", NOON, **DETAILS)
    with pytest.raises(error):
        ticket.withdraw("ana", NOON)


def test_somebody_elses_ticket_cannot_be_edited():
    with pytest.raises(NotOwner):
        a_ticket().edit("bo", NOON, **DETAILS)


def test_a_withdrawn_ticket_cannot_be_edited_but_withdrawn_again():
    ticket = a_ticket()

    assert ticket.withdraw("ana", NOON) is True
    assert ticket.withdraw("ana", NOON) is False
    with pytest.raises(TicketWithdrawn):
        ticket.edit("ana", NOON, **DETAILS)


def test_a_withdrawal_that_raced_with_a_reservation_binds_when_it_is_released():
    ticket = a_ticket()
    ticket.withdraw("ana", NOON)

    ticket.apply_order(an_order("created"), NOON)
    assert ticket.status == "reserved"

    ticket.apply_order(an_order("cancelled", version=2), NOON)
    assert ticket.status == "withdrawn"


def test_the_price_version_moves_only_with_the_price():
    ticket = a_ticket()

    ticket.edit("ana", NOON, **{**DETAILS, "title": "Hamlet, row 4"})
    assert (ticket.version, ticket.price_version) == (2, 1)

    ticket.edit("ana", NOON, **{**DETAILS, "price_cents": 2000})
    assert (ticket.version, ticket.price_version) == (3, 3)


def test_a_hold_that_lapsed_is_no_conflict_for_its_seller_and_nothing_that_the_seller_changed():
    ticket = a_ticket()
    ticket.apply_order(an_order("created"), NOON)
    ticket.apply_order(an_order("cancelled", version=2), NOON)
    assert (ticket.version, ticket.revision) == (3, 1)

    for seen in (0, 4):
        with pytest.raises(domain.TicketChanged):
            ticket.withdraw("ana", NOON, seen_version=seen)
    assert ticket.edit("ana", NOON, seen_version=1, **{**DETAILS, "price_cents": 2000}) is True
    assert (ticket.version, ticket.revision, ticket.price_version) == (4, 4, 4)

    assert ticket.withdraw("ana", NOON, seen_version=4) is True
    assert ticket.snapshot()["revision"] == 5


def test_an_edit_of_an_older_version_is_refused_unless_it_changes_nothing():
    ticket = a_ticket()
    ticket.edit("ana", NOON, seen_version=1, **{**DETAILS, "price_cents": 2000})

    with pytest.raises(domain.TicketChanged) as refusal:
        ticket.edit("ana", NOON, seen_version=1, **DETAILS)

    assert (refusal.value.details, ticket.price_cents) == ({"version": 2}, 2000)
    assert ticket.edit("ana", NOON, seen_version=1, **{**DETAILS, "price_cents": 2000}) is False
    assert ticket.edit("ana", NOON, seen_version=2, **DETAILS) is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "  "},
        {"title": "x" * 201},
        {"title": 7},
        {"title": {"$ne": None}},
        {"title": None},
        {"price_cents": 49},
        {"price_cents": 100_000_000},
        {"price_cents": 19.99},
        {"price_cents": True},
        {"price_cents": "1999"},
        {"price_cents": None},
        {"category": "opera"},
        {"category": ["stage"]},
        {"category": None},
        {"venue": "x" * 201},
        {"venue": 7},
        {"venue": "two\nlines"},
        {"venue": "\u200b"},
        {"venue": "Z" + "\u0335" * 5},
        {"starts_at": "tomorrow"},
        {"starts_at": "2026-12-24T19:30:00"},
        {"starts_at": 1800000000},
    ],
)
def test_an_invalid_field_is_refused_and_named(wrong):
    with pytest.raises(domain.InvalidTicket) as refusal:
        a_ticket(**wrong)

    assert [error["field"] for error in refusal.value.details["errors"]] == list(wrong)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("2026-11-22T12:00:00Z", "Enter a start that is not in the past."),
        ("2026-11-22T12:00:00.000999Z", "Enter a start that is not in the past."),
        ("2026-11-22T13:00:00+01:00", "Enter a start that is not in the past."),
        ("0001-01-01T00:00:00Z", "Enter a start that is not in the past."),
        ("0001-01-01T00:00:00+14:00", "Enter a start that is not in the past."),
        ("9999-12-31T23:59:59.999Z", "Enter a start within the next ten years."),
        ("9999-12-31T23:59:59.999-14:00", "Enter a start within the next ten years."),
        ("2036-11-23T12:00:00Z", "Enter a start within the next ten years."),
        ("12026-11-22T12:00:00Z", "Enter when it starts as a time in UTC, like 2030-01-31T19:30:00Z."),
    ],
)
def test_start_in_the_past_or_in_a_distant_year_is_refused_with_the_reason(start, message):
    with pytest.raises(domain.InvalidTicket) as refusal:
        a_ticket(starts_at=start)

    assert refusal.value.details["errors"] == [{"field": "starts_at", "message": message}]


def test_start_may_end_in_a_small_z():
    assert a_ticket(starts_at="2026-11-22t20:00:00z").starts_at == NOON + timedelta(hours=8)


def test_edit_keeps_a_start_that_has_passed_and_moves_it_only_into_the_future():
    ticket, evening = a_ticket(starts_at="2026-11-22T20:00:00Z"), NOON + timedelta(hours=8)

    assert ticket.edit("ana", evening, **{**DETAILS, "title": "Hamlet, row 4", "starts_at": evening}) is True
    with pytest.raises(domain.InvalidTicket):
        ticket.edit("ana", evening, **{**DETAILS, "starts_at": evening - timedelta(minutes=1)})
    assert ticket.edit("ana", evening, **{**DETAILS, "starts_at": evening + timedelta(minutes=1)}) is True


def test_all_invalid_fields_are_refused_together():
    with pytest.raises(domain.InvalidTicket) as refusal:
        a_ticket(title=" ", price_cents=49)

    assert refusal.value.details["errors"] == [
        {"field": "title", "message": "Enter the title of the event."},
        {"field": "price_cents", "message": "Enter a price from 0.50 to 999,999.99, with at most two decimals."},
    ]


def test_details_are_cleaned():
    ticket = a_ticket(title="  Hamlet ", venue="  ", starts_at="2026-12-24T20:30:00.123456+01:00")

    assert (ticket.title, ticket.venue) == ("Hamlet", None)
    assert ticket.starts_at == datetime(2026, 12, 24, 19, 30, 0, 123000, tzinfo=UTC)


def test_only_a_reserved_ticket_says_until_when():
    ticket = a_ticket()
    ticket.apply_order(an_order("created"), NOON)
    assert ticket.snapshot()["reserved_until"] == NOON

    ticket.apply_order(an_order("complete", version=3), NOON + timedelta(minutes=1))
    assert ticket.snapshot()["reserved_until"] is None


def test_only_the_seller_sees_how_much_was_refunded():
    ticket = a_ticket()
    ticket.apply_order(an_order("complete", refunded_cents=500), NOON)

    assert ticket.seller_view() == {**ticket.snapshot(), "refunded_cents": 500}
    assert "refunded_cents" not in ticket.snapshot()


def test_a_ticket_has_started_from_that_millisecond_on():
    later = NOON + timedelta(minutes=1)
    ticket = a_ticket(starts_at=later)

    assert ticket.has_started(later)
    assert not ticket.has_started(later - timedelta(milliseconds=1))
    assert not a_ticket().has_started(later)


def test_events_declare_every_field_of_a_ticket():
    ticket = a_ticket(seat={"section": None, "row": "3", "seat": "12"}).snapshot()

    assert ticket.keys() == TicketCreated.schema.fields.keys()
    assert ticket["seat"].keys() == Seat().fields.keys()
