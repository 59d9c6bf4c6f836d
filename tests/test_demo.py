"""What `make demo` lists is acceptable to the rules of tickets, and spread over all of them."""

from datetime import UTC, datetime, timedelta

from dev.demo.demonstration import TICKETS
from dev.demo.shows import tickets
from libs.contracts.currencies import currency_of
from libs.contracts.limits import CATEGORIES
from tickets.domain import checked_details

NOW = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
SOON = timedelta(hours=3)


def test_every_ticket_of_the_demonstration_may_be_sold():
    for ticket in tickets(TICKETS, NOW):
        cents = round(float(ticket["price"]) * 100)

        checked_details(
            currency_of("usd"), ticket["title"], cents, ticket["category"], ticket["venue"], ticket.get("startsAt")
        )


def test_some_tickets_of_the_demonstration_are_past_some_start_soon_and_most_later():
    starts = [datetime.fromisoformat(ticket["startsAt"]) for ticket in tickets(TICKETS, NOW) if "startsAt" in ticket]
    past, soon = [start for start in starts if start < NOW], [start for start in starts if NOW < start < NOW + SOON]

    assert 5 <= len(past) <= 15 and len(soon) >= 5
    assert len(starts) - len(past) - len(soon) > TICKETS * 0.8


def test_demonstration_has_tickets_of_every_category():
    assert {ticket["category"] for ticket in tickets(TICKETS, NOW)} == set(CATEGORIES)
