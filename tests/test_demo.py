"""What `make demo` lists is acceptable to the rules of tickets, and spread over all of them."""

from datetime import UTC, datetime, timedelta

from tickets.domain import CATEGORIES, checked_details
from tools.demo import TICKETS
from tools.shows import tickets

NOW = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)


def test_every_ticket_of_the_demonstration_may_be_sold():
    for ticket in tickets(TICKETS, NOW):
        cents = round(float(ticket["price"]) * 100)

        checked_details(ticket["title"], cents, ticket["category"], ticket["venue"], ticket.get("startsAt"))


def test_no_ticket_of_the_demonstration_is_past_and_some_start_soon():
    starts = [datetime.fromisoformat(ticket["startsAt"]) for ticket in tickets(TICKETS, NOW) if "startsAt" in ticket]

    assert min(starts) > NOW
    assert sum(start < NOW + timedelta(hours=3) for start in starts) >= 5


def test_demonstration_has_tickets_of_every_category():
    assert {ticket["category"] for ticket in tickets(TICKETS, NOW)} == set(CATEGORIES)
