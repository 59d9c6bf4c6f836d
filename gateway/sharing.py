"""Previews of a ticket or an event on other sites: a sentence, and schema.org data."""

from typing import Any

from gateway.formats import local_iso, moment, total
from gateway.languages import gettext, ngettext
from libs.contracts.currencies import currency_of

EVENTS = {"movie": "ScreeningEvent", "concert": "MusicEvent", "match": "SportsEvent", "stage": "TheaterEvent"}
ENDS = (".", "!", "?", "…")
"""Marks that end a sentence without a further full stop, such as at the end of a title."""
AVAILABILITY = {"on_sale": "InStock", "reserved": "OutOfStock", "sold": "SoldOut", "withdrawn": "Discontinued"}


def describe(ticket: dict[str, Any]) -> str:
    """Return a ticket in a sentence or two: when, where, for how much."""
    price = gettext("%(amount)s, all in", amount=total(ticket["price_cents"], ticket["currency"]))
    state = (
        price
        if ticket["status"] == "on_sale"
        else gettext("No longer on sale")
        if ticket["status"] != "reserved"
        else gettext("Reserved")
    )
    return _sentences(ticket, state)


def describe_event(event: dict[str, Any], on_sale: int, tickets: list[dict[str, Any]]) -> str:
    """Return an event in a sentence or two: when, where, how many tickets are on sale, the cheapest of them first."""
    if not tickets:
        return _sentences(event, gettext("No ticket is on sale now"))
    price = total(tickets[0]["price_cents"], tickets[0]["currency"])
    return _sentences(
        event, ngettext("%(num)s ticket from %(price)s", "%(num)s tickets from %(price)s", on_sale, price=price)
    )


def json_ld(ticket: dict[str, Any], url: str, image: str) -> dict[str, Any]:
    """Return the ticket as an Event with an Offer, or a Product when it is good on any day."""
    offer = {
        "@type": "Offer",
        "url": url,
        "price": _price(ticket),
        "priceCurrency": ticket["currency"].upper(),
        "availability": f"https://schema.org/{AVAILABILITY.get(ticket['status'], 'OutOfStock')}",
    }
    return _described(ticket, url, image, offer)


def event_json_ld(
    event: dict[str, Any], on_sale: int, tickets: list[dict[str, Any]], url: str, image: str
) -> dict[str, Any]:
    """Return an event with the prices of its tickets on sale, `tickets` being the cheapest of them."""
    offer = {"@type": "AggregateOffer", "url": url, "offerCount": on_sale, "priceCurrency": event["currency"].upper()}
    offer["availability"] = f"https://schema.org/{'InStock' if tickets else 'OutOfStock'}"
    return _described(event, url, image, offer | ({"lowPrice": _price(tickets[0])} if tickets else {}))


def _sentences(ticket: dict[str, Any], last: str) -> str:
    when_and_where = [moment(ticket["starts_at"], ticket.get("time_zone"), near=False)] if ticket["starts_at"] else []
    when_and_where += [each for each in (ticket["venue"], ticket.get("city")) if each]
    sentences = [ticket["title"], *([", ".join(when_and_where)] if when_and_where else []), last]
    return " ".join(each if each.endswith(ENDS) else f"{each}." for each in sentences)


def _described(ticket: dict[str, Any], url: str, image: str, offer: dict[str, Any]) -> dict[str, Any]:
    found = {"@context": "https://schema.org", "name": ticket["title"], "url": url, "image": image, "offers": offer}
    if not ticket["starts_at"]:
        return {**found, "@type": "Product", "category": "Ticket"}
    offer["validThrough"] = start = local_iso(ticket["starts_at"], ticket.get("time_zone"))
    kind = EVENTS.get(ticket["category"], "Event")
    return {**found, "@type": kind, "startDate": start, **_location(ticket)}


def _location(ticket: dict[str, Any]) -> dict[str, Any]:
    venue, city = ticket["venue"], ticket.get("city")
    if not venue and not city:
        return {}
    address = {"address": {"@type": "PostalAddress", "addressLocality": city}} if city else {}
    return {"location": {"@type": "Place", "name": venue or city, **address}}


def _price(ticket: dict[str, Any]) -> str:
    return str(currency_of(ticket["currency"]).major(ticket["price_cents"]))
