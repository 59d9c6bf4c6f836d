"""Demo data, created only through the JSON API of a running system.

It has a seller and a buyer, tickets in every category, and orders in every lasting state:
unpaid, complete, and cancelled by the buyer, by expiry or after three declined cards. Each run creates new users, so it
may be repeated. It needs the fake Stripe, or Stripe's test keys.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from dev.demo.shows import price, starts_at_once, tickets
from dev.demo.visitor import Visitor

TICKETS, WITHDRAWN = 400, 5
RESERVED, COMPLETE, CANCELLED, DECLINED_THEN_PAID, DECLINED, EXPIRED = 4, 10, 5, 3, 2, 2
MAXIMUM_DECLINES = 3
STARTS_IN = timedelta(seconds=4)
"""How soon the show of the expiring orders starts: payment ends then."""
AT_ONCE = 8


def fill(url: str, count: int) -> tuple[Visitor, Visitor]:
    """Create the demo data; return its seller and its buyer. Raises DemoError."""
    seller, buyer = Visitor(url, "sam"), Visitor(url, "bea")
    for person in (seller, buyer):
        person.sign_up()
    now = datetime.now(UTC)
    shows = list(tickets(count, now))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        listed = pool.map(lambda show: seller.sell(**show), shows)
        idents = [_count("tickets listed", number, ticket) for number, ticket in enumerate(listed, start=1)]
    print(f"\r{count} tickets listed")
    on_sale = [ident for ident, show in zip(idents, shows, strict=True) if not starts_at_once(show, now)]
    on_sale = on_sale[::-1]  # the newest are on the first page
    for ticket in _take(on_sale, WITHDRAWN):
        seller.call("DELETE", f"/api/tickets/{ticket}", 204)
    expired = _reserve_at_the_last_moment(seller, buyer)
    _order(buyer, on_sale)
    for order in expired:
        buyer.wait_for_status("orders", order, "cancelled")
    print(f"{EXPIRED} ran out of time, {DECLINED} ended with the third declined card")
    return seller, buyer


def _reserve_at_the_last_moment(seller: Visitor, buyer: Visitor) -> list[str]:
    """Reserve tickets of a show that is about to start, which ends the time to pay; return the orders."""
    starts_at = (datetime.now(UTC) + STARTS_IN).isoformat()
    show = {
        "title": "Hamlet",
        "price": price(1200),
        "category": "stage",
        "venue": "Globe",
        "startsAt": starts_at,
    }
    return [buyer.reserve(seller.sell(**show)) for _ in range(EXPIRED)]


def _order(buyer: Visitor, on_sale: list[str]) -> None:
    """Create orders in every state but expired."""
    for ticket in _take(on_sale, RESERVED):
        buyer.reserve(ticket)
    for ticket in _take(on_sale, CANCELLED):
        buyer.cancel(buyer.reserve(ticket))
    for ticket in _take(on_sale, DECLINED):
        order = buyer.reserve(ticket)
        for _ in range(MAXIMUM_DECLINES):
            buyer.pay(order, "tok_chargeDeclined", expected=402)
        buyer.wait_for_status("orders", order, "cancelled")
    paid = []
    for number, ticket in enumerate(_take(on_sale, COMPLETE + DECLINED_THEN_PAID), start=1):
        paid.append(order := buyer.reserve(ticket))
        if number <= DECLINED_THEN_PAID:
            buyer.pay(order, "tok_chargeDeclined", expected=402)
        buyer.pay(order)
        _count("orders paid", number)
    for order in paid:
        buyer.wait_for_status("orders", order, "complete")
    print(f"\r{len(paid)} orders paid")
    print(f"{RESERVED} orders wait for payment, {CANCELLED} are cancelled, {DECLINED_THEN_PAID} were declined at first")


def _take(on_sale: list[str], count: int) -> list[str]:
    """Remove `count` tickets from `on_sale`, every third one, and return them."""
    taken = on_sale[: 3 * count : 3]
    on_sale[:] = [ticket for ticket in on_sale if ticket not in taken]
    return taken


def _count(what: str, number: int, thing: str = "") -> str:
    """Show the count if stdout is a terminal; return `thing`."""
    if sys.stdout.isatty():
        print(f"\r{number} {what}", end="", flush=True)
    return thing
