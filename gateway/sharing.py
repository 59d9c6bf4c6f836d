"""What other sites show of a ticket: a sentence, and its description by schema.org."""

from typing import Any

from gateway.formats import moment, total
from gateway.languages import gettext
from libs.contracts.currencies import currency_of

EVENTS = {"movie": "ScreeningEvent", "concert": "MusicEvent", "match": "SportsEvent", "stage": "TheaterEvent"}
AVAILABILITY = {"on_sale": "InStock", "reserved": "OutOfStock", "sold": "SoldOut", "withdrawn": "Discontinued"}


def describe(ticket: dict[str, Any]) -> str:
    """Return a ticket in a sentence or two: when, where, for how much."""
    occasion = [moment(ticket["starts_at"], ticket.get("time_zone"), near=False)] if ticket["starts_at"] else []
    occasion += [ticket["venue"]] if ticket["venue"] else []
    price = gettext("%(amount)s, all in", amount=total(ticket["price_cents"], ticket["currency"]))
    state = (
        price
        if ticket["status"] == "on_sale"
        else gettext("No longer on sale")
        if ticket["status"] != "reserved"
        else gettext("Reserved")
    )
    return ". ".join([ticket["title"], *([", ".join(occasion)] if occasion else []), state]) + "."


def json_ld(ticket: dict[str, Any], url: str, image: str) -> dict[str, Any]:
    """Return the ticket as an Event with an Offer, or a Product when it is good on any day."""
    offer = {
        "@type": "Offer",
        "url": url,
        "price": str(currency_of(ticket["currency"]).major(ticket["price_cents"])),
        "priceCurrency": ticket["currency"].upper(),
        "availability": f"https://schema.org/{AVAILABILITY.get(ticket['status'], 'OutOfStock')}",
    }
    found = {"@context": "https://schema.org", "name": ticket["title"], "url": url, "image": image, "offers": offer}
    if not ticket["starts_at"]:
        return {**found, "@type": "Product", "category": "Ticket"}
    offer["validThrough"] = ticket["starts_at"]
    place = {"location": {"@type": "Place", "name": ticket["venue"]}} if ticket["venue"] else {}
    return {**found, "@type": EVENTS.get(ticket["category"], "Event"), "startDate": ticket["starts_at"], **place}
