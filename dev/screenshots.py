"""Pictures of every page and state, wide and narrow, light and dark, in each language:
`python -m dev.screenshots FOLDER [LANGUAGE…] [NAME…]`.

The pages are the gateway's own, in front of the services' fakes: so every state is available at once. Their data are
the demo's (`dev/demo/shows.py`). With languages, such as `de`, only those are drawn; with names, only the pages whose
names begin with one of them.
"""

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from dev.demo.shows import starts_at_once, tickets
from dev.fake_stripe.testing import running
from dev.testing import chromium
from gateway.app import create_app
from gateway.languages import ENGLISH, LANGUAGES
from gateway.tests.conftest import Browser
from gateway.tests.fake_factors import RECOVERY_CODES
from gateway.tests.fakes import SETTINGS, FakeServices
from libs.clock import iso

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page

WIDTHS = {1280: 800, 390: 844}
ZONE = "Europe/London"
"""The viewer's time zone: most venues of the demo are in it."""
THEMES = ("light", "dark")
TICKETS = 60
COOKIE = "ticketing-session"

SECRET = "JBSWY3DPEHPK3PXP"  # noqa: S105 - of an authenticator app that nobody has
LONG_AGO = datetime(2026, 1, 31, 12, tzinfo=UTC)
PASSKEYS: list[dict[str, Any]] = [
    {"id": "1", "name": "Pixel 9", "created_at": iso(LONG_AGO), "used_at": iso(LONG_AGO), "is_synced": True},
    {"id": "2", "name": "YubiKey", "created_at": iso(LONG_AGO), "used_at": None, "is_synced": False},
]
CHANGES: list[dict[str, Any]] = [
    {"what": "authenticator_on", "about": None, "at": iso(LONG_AGO)},
    {"what": "passkey_added", "about": "Pixel 9", "at": iso(LONG_AGO)},
    {"what": "passkey_added", "about": "YubiKey", "at": iso(LONG_AGO)},
]
LONG: dict[str, Any] = {
    "title": "Donaudampfschifffahrtsgesellschaftskapitänsjubiläumsgala mit den Vereinigten Blasorchestern",
    "venue": "Mehrzweckveranstaltungshalle am Rindfleischetikettierungsüberwachungsplatz",
    "city": "Schmedeswurtherwesterdeich",
    "seat": {"section": "Ehrentribünenoberrang", "row": "Reihe hinter der Säule", "seat": "117"},
    "category": "concert", "price": "123456.78", "startsAt": "2031-01-31T20:00:00+01:00", "timeZone": "Europe/Berlin",
}  # fmt: skip

Act = Callable[["Page"], Any]
"""An action on a page before its picture is taken."""


class Site:
    """The gateway with a seller, a buyer, their tickets and orders. A page's viewer of `None` is a visitor."""

    def __init__(self, stripe_url: str, url: str = "http://localhost:8000") -> None:
        services: Any = FakeServices
        self.services: Any = services()
        settings = SETTINGS | {"STRIPE_API_BASE": stripe_url, "PUBLIC_URL": url}
        self.app = create_app(self.services, settings, self.services.revocations())
        self.app.test_client_class = Browser
        self.seller, self.buyer, self.guarded = (self._sign_up(name) for name in ("sam", "bea", "gus"))
        self.services.users["sam@example.org"]["name"] = "Sam"
        self.services.users["gus@example.org"].update(
            secret=SECRET, codes=[*RECOVERY_CODES], since=iso(LONG_AGO), passkeys=[*PASSKEYS], changes=[*CHANGES]
        )
        now = datetime.now(UTC)
        shows = [show for show in tickets(TICKETS, now) if not starts_at_once(show, now)]
        self.tickets = [self.seller.post("/api/tickets", json=show).json["id"] for show in shows]  # type: ignore[index]

    def reserve(self, number: int, **changes: Any) -> str:
        """Return the path of the buyer's order for one of the tickets, in a state that pages alone do not lead to."""
        answer = self.buyer.post("/api/orders", json={"ticketId": self.tickets[-number]})
        assert answer.status_code == 201, answer.text
        order = self.services.orders[answer.json["id"]]  # type: ignore[index]
        order.update(changes)
        return f"/orders/{order['id']}"

    def pay(self, order: str, card: str = "tok_visa") -> str:
        """Pay an order, or try to; return its path."""
        self.buyer.submit(order, f"{order}/pay", token=card)  # type: ignore[attr-defined]
        return order

    def payment(self, order: str, **changes: Any) -> str:
        """Change the payment of an order; return its path."""
        ident = order.rpartition("/")[2]
        payment = self.services.payments.setdefault(ident, self.services._new_payment(self.services.orders[ident]))
        payment.update(changes)
        return order

    def event(self, *, on_sale: bool = True) -> str:
        """Return the path of the event with the most tickets, or of one without any on sale."""
        events = Counter(ticket["event_id"] for ticket in self.services.tickets.values())
        ident = events.most_common(1)[0][0] if on_sale else self.services.tickets[self.tickets[10]]["event_id"]
        if not on_sale:
            for ticket in self.services.tickets.values():
                if ticket["event_id"] == ident:
                    ticket["status"] = "sold"
        return f"/events/{ident}"

    def _sign_up(self, name: str) -> FlaskClient:
        person = self.app.test_client()
        person.post("/api/users/signup", json={"email": f"{name}@example.org", "password": f"{name} and a word"})
        return person


def pages(site: Site) -> Iterator[tuple[str, FlaskClient | None, str, Act | None]]:
    """Yield each page's name, its viewer, its path, and an action to do there first."""
    buyer, seller, last = site.buyer, site.seller, site.tickets[-1]
    yield "home", None, "/", None
    yield "list", None, "/tickets", None
    yield "list-filtered", None, "/tickets?category=concert&sort=price_asc&max_price=40", None
    yield "list-empty", None, "/tickets?q=nothing+at+all", None
    yield "list-corrected", None, "/tickets?q=hamelt", None
    yield "list-invalid", None, "/tickets?min_price=cheap&max_price=dear", None
    yield "ticket", None, f"/tickets/{last}", None
    yield "ticket-own", seller, f"/tickets/{last}", None
    yield "ticket-buyer", buyer, f"/tickets/{last}", None
    yield "event", None, site.event(), None
    yield "event-sold-out", None, site.event(on_sale=False), None
    for name in site.app.extensions["texts"]["en"]:
        yield f"text-{name}", None, f"/about/{name}", None
    yield "sign-in", None, "/signin?next=/my/tickets", None
    yield "sign-in-invalid", None, "/signin", lambda page: _send(page, email="sam@example.org", password="not it")  # noqa: S106
    yield "sign-in-code", None, "/signin", lambda page: _send(page, email="gus@example.org", password="gus and a word")  # noqa: S106
    yield "sign-up", None, "/signup", None
    yield "sign-up-invalid", None, "/signup", lambda page: _send(page, email="sam@example.org", password="sam and more")  # noqa: S106
    yield "sell", seller, "/sell", None
    yield (
        "sell-invalid",
        seller,
        "/sell",
        lambda page: _send(page, title=" ", price="1.999", startsAt="2020-01-01T10:00"),
    )
    yield (
        "sell-twice",
        seller,
        "/sell",
        lambda page: _send(page, title="Hamlet", price="20", startsAt="2027-10-31T02:30", timeZone="Berlin"),
    )
    yield "edit", seller, f"/tickets/{last}/edit", None
    yield "selling", seller, "/selling", None
    yield "selling-empty", buyer, "/selling", None
    yield "my-tickets-empty", seller, "/my/tickets", None
    yield "account", buyer, "/account", None
    yield "account-security", buyer, "/account/security", None
    yield "account-sessions", buyer, "/account/sessions", None
    yield "account-confirm", site.guarded, "/account/confirm", None
    yield "account-name", seller, "/account/name", None
    yield "account-authenticator", buyer, "/account/security/authenticator", None
    yield "account-guarded", site.guarded, "/account/security", None
    yield (
        "account-recovery-codes",
        site.guarded,
        "/account/security",
        lambda page: page.click("[action*=recovery] button"),
    )
    yield "not-found", None, "/nowhere", None
    yield "forbidden", buyer, f"/tickets/{last}/edit", None
    yield "api", None, "/api/docs", None
    pay = site.reserve(1)
    buyer.get(pay)  # from now on every page shows a reminder of it
    yield "order-pay", buyer, pay, None
    yield "order-pay-test-cards", buyer, pay, lambda page: page.click("[data-test-cards] summary")
    yield "held-banner", buyer, "/", None
    yield "order-declined", buyer, site.pay(site.reserve(2), "tok_chargeDeclined"), None
    soon = iso(datetime.now(UTC) + timedelta(seconds=50))
    yield "order-last-minute", buyer, site.reserve(3, expires_at=soon), None
    extended = site.reserve(12)
    yield (
        "order-extended",
        buyer,
        extended,
        lambda page: _extend(page, site.services.orders[extended.rpartition("/")[2]]),
    )
    confirming = site.reserve(4)
    yield "order-confirming", buyer, site.payment(confirming, is_confirming=True), None
    yield "order-overdue", buyer, site.reserve(5, expires_at=iso(datetime.now(UTC) - timedelta(seconds=5))), None
    yield "order-complete", buyer, site.pay(site.reserve(6)), None
    refunded = site.pay(site.reserve(7))
    order = site.services.orders[refunded.rpartition("/")[2]]
    order.update(refunded_at=iso(datetime.now(UTC)), refunded_cents=order["price_cents"])
    yield "order-refunded", buyer, refunded, None
    cancelled = site.reserve(8)
    site.buyer.submit(cancelled, f"{cancelled}/cancel")  # type: ignore[attr-defined]
    yield "order-cancelled", buyer, cancelled, None
    failed = site.reserve(9)
    for _ in range(3):
        site.pay(failed, "tok_chargeDeclined")
    yield "order-failed", buyer, failed, None
    late = site.payment(site.reserve(10, status="cancelled", cancel_reason="expired"), status="refunded")
    yield "order-late", buyer, late, None
    yield "ticket-reserved", None, f"/tickets/{site.tickets[-1]}", None
    yield "ticket-sold", None, f"/tickets/{site.tickets[-6]}", None
    site.services.tickets[site.tickets[-13]].update(status="withdrawn", withdrawn=True)
    yield "ticket-withdrawn", None, f"/tickets/{site.tickets[-13]}", None
    site.services.tickets[site.tickets[-14]].update(starts_at=iso(LONG_AGO))
    yield "ticket-started", None, f"/tickets/{site.tickets[-14]}", None
    long = seller.post("/api/tickets", json=LONG).json["id"]  # type: ignore[index]
    yield "ticket-long", None, f"/tickets/{long}", None
    yield "list-long", None, "/tickets?q=Donau", None
    yield "edit-long", seller, f"/tickets/{long}/edit", None
    yield "ticket-bought", buyer, f"/tickets/{site.tickets[-6]}", None
    yield "my-tickets", buyer, "/my/tickets", None
    yield "my-tickets-cancelled", buyer, "/my/tickets?cancelled=1", None
    yield "selling-sold", seller, "/selling", None
    yield "list-all", None, "/tickets?status=all", None
    banner = site.app.extensions["announcement"]
    banner.update(
        {"version": 1, "texts": {"en": "Payments pause tonight from 2 to 3.", "de": "Heute Nacht pausiert alles."}}
    )
    yield "announced", None, "/", None
    banner.update({"version": 2, "texts": {}})
    site.services.unavailable.add("payments")
    yield "order-unavailable", buyer, site.reserve(11), None
    site.services.unavailable.add("tickets")
    yield "unavailable", None, "/", None
    site.services.tickets_event = lambda *_, **__: 1 // 0
    site.services.unavailable.clear()
    logging.getLogger("gateway.errors").setLevel(logging.CRITICAL)
    yield "internal-error", None, "/events/broken-0123456789abcdef", None


@contextmanager
def served() -> Iterator[tuple[Site, str]]:
    """Serve a site, with a fake Stripe, and yield it and its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with running() as stripe:
        server = make_server("127.0.0.1", 0, Flask(__name__), threaded=True)
        url = f"http://localhost:{server.port}"
        site = Site(stripe.url, url)
        server.app = site.app
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield site, url
        server.shutdown()
        server.server_close()


@contextmanager
def shown(
    browser: "Chromium",
    url: str,
    who: FlaskClient | None,
    path: str,
    act: Act | None,
    width: int,
    theme: str,
    **more: Any,
) -> Iterator["Page"]:
    """Yield a page as shown to `who` in a window of this width."""
    options: Any = {"viewport": {"width": width, "height": WIDTHS[width]}, "color_scheme": theme, "timezone_id": ZONE}
    options |= {"locale": ENGLISH, **more}
    context = browser.new_context(base_url=url, **options)
    if who and (cookie := who.get_cookie(COOKIE)):
        context.add_cookies([{"name": COOKIE, "value": cookie.value, "url": url}])
    page = context.new_page()
    page.goto(path)
    if act:
        act(page)
    yield page
    context.close()


def main() -> None:
    """Draw the pages into the folder on the command line."""
    folder, *chosen = sys.argv[1:]
    languages = [each for each in chosen if each in LANGUAGES] or list(LANGUAGES)
    names = [each for each in chosen if each not in LANGUAGES]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with served() as (site, url), chromium() as browser:
        for name, who, path, act in pages(site):
            if names and not name.startswith(tuple(names)):
                continue
            for language, width, theme in product(languages, WIDTHS, THEMES):
                with shown(browser, url, who, path, act, width, theme, locale=language) as page:
                    page.locator("[data-card-form] .hint").wait_for(state="detached")  # the form is loaded
                    picture = f"{name}-{width}-{theme}{'' if language == ENGLISH else f'-{language}'}.png"
                    page.screenshot(path=Path(folder) / picture, full_page=True)
            print(name)


def _send(page: "Page", **typed: str) -> None:
    for name, value in typed.items():
        field = page.locator(f"main [name={name}]")
        (field.select_option if field.evaluate("each => each.tagName") == "SELECT" else field.fill)(value)
    page.click("main form .button:not([type=button])")


def _extend(page: "Page", order: dict[str, Any]) -> None:
    """Extend an order's time to pay, after moving it into the last minutes."""
    order.update(expires_at=iso(datetime.now(UTC) + timedelta(seconds=80)), is_extendable=True)
    page.reload()
    page.click("[data-extend] button")
    page.locator(".notices .notice").wait_for()


if __name__ == "__main__":
    main()
