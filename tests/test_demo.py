"""What `make demo` lists is acceptable to the rules of tickets, and spread over all of them."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from dev.demo.demonstration import TICKETS
from dev.demo.shows import starts_at_once, tickets
from libs.contracts.currencies import currency_of
from libs.contracts.limits import CATEGORIES
from tickets.domain import checked_details

NOW = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
SOON = timedelta(hours=3)


def test_every_ticket_of_the_demonstration_may_be_sold():
    for ticket in tickets(TICKETS, NOW):
        cents = round(float(ticket["price"]) * 100)

        details = {name: ticket[name] for name in ("title", "category", "venue", "city", "seat")}
        start = {"starts_at": ticket.get("startsAt"), "time_zone": ticket.get("timeZone")}
        checked_details(currency_of("usd"), NOW, **details, **start, price_cents=cents)


def test_some_tickets_of_the_demonstration_start_at_once_some_soon_and_most_later():
    shows = [ticket for ticket in tickets(TICKETS, NOW) if "startsAt" in ticket]
    at_once = [show for show in shows if starts_at_once(show, NOW)]
    soon = [show for show in shows if datetime.fromisoformat(show["startsAt"]) < NOW + SOON and show not in at_once]

    assert 5 <= len(at_once) <= 15 and len(soon) >= 5
    assert len(shows) - len(at_once) - len(soon) > TICKETS * 0.8


def test_demonstration_has_tickets_of_every_category():
    assert {ticket["category"] for ticket in tickets(TICKETS, NOW)} == set(CATEGORIES)


def test_some_events_of_the_demonstration_have_several_tickets():
    events = Counter((each["title"], each["venue"], each.get("startsAt")) for each in tickets(TICKETS, NOW))

    assert 20 < sum(count > 1 for count in events.values()) < TICKETS / 2
