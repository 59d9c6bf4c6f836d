"""What a seller enters for a ticket is in every place that has to know of it: `OrderedTicket` declares it."""

from gateway.pages.ticket_form import LABELS
from gateway.schemas import TicketBody, TicketResponse, TicketSnapshot
from libs.contracts.events import OrderedTicket
from libs.contracts.limits import SEAT_PARTS

ORDERED = OrderedTicket().fields
DETAILS = ORDERED.keys() - {"id", "currency"}
OPTIONAL = [name for name, field in ORDERED.items() if field.allow_none]


def test_the_api_takes_every_detail_of_a_ticket():
    assert TicketBody().fields.keys() == DETAILS


def test_the_api_shows_every_detail_of_a_ticket_and_of_that_of_an_order():
    assert TicketResponse().fields.keys() >= ORDERED.keys()
    assert TicketSnapshot().fields.keys() == ORDERED.keys()


def test_the_form_asks_for_every_detail_of_a_ticket(ana):
    asked = {field.data_key for field in TicketBody().fields.values()} - {"seat"} | {*SEAT_PARTS}

    page = ana.get("/sell").text

    assert LABELS.keys() == asked
    assert [name for name in asked if f'name="{name}"' not in page] == []


def test_the_form_clears_every_optional_detail_that_is_left_empty(ana, services, ticket):
    stored = services.tickets[ticket["id"]]
    stored.update({name: stored[name] or "some" for name in OPTIONAL})
    stored |= {"starts_at": "2031-01-31T20:00:00.000Z", "time_zone": "Europe/London"}
    stored["seat"] = dict.fromkeys(SEAT_PARTS, "1")

    ana.submit(f"/tickets/{ticket['id']}/edit", title="Hamlet", price="19.99", category="stage")

    kept = {name: stored[name] for name in OPTIONAL}
    assert kept == dict.fromkeys(OPTIONAL) | {"seat": dict.fromkeys(SEAT_PARTS)}
