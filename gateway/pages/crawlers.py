"""The files that search engines and browsers request by themselves: robots.txt, site maps, the icon."""

from typing import Any
from xml.sax.saxutils import escape

from flask import Blueprint, Response, current_app, redirect, url_for

from gateway import ids
from gateway.pages.texts import all_texts
from gateway.services import call_public
from gateway.static_files import asset
from libs.contracts.limits import CATEGORIES

HOUR, DAY = "public, max-age=3600", "public, max-age=86400"
NOT_FOR_CRAWLERS = (
    "/account",
    "/api/",
    "/my/",
    "/orders/",
    "/selling",
    "/sell",
    "/signin",
    "/signup",
    "/theme",
    "/language",
)

bp = Blueprint("crawlers", __name__)


@bp.get("/robots.txt")
def robots() -> Response:
    """Return what crawlers may read, and where the site map is."""
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in NOT_FOR_CRAWLERS)]
    return _cached("\n".join([*lines, "", f"Sitemap: {public(url_for('crawlers.site_map'))}", ""]), "text/plain", DAY)


@bp.get("/favicon.ico")
def icon() -> Any:
    """Redirect browsers that look for the icon here."""
    response = redirect(asset("favicon.ico"), 302)
    response.headers["Cache-Control"] = DAY
    return response


@bp.get("/sitemap.xml")
def site_map() -> Response:
    """List the site maps: of the pages that are always there, and of tickets on sale and their events, in pages."""
    parts = [url_for("crawlers.lasting_pages"), url_for("crawlers.first_events")]
    parts += [url_for("crawlers.events", after=after) for after in call_public("tickets.site_map_event_pages")]
    parts += [url_for("crawlers.first_tickets")]
    parts += [url_for("crawlers.tickets", after=after) for after in call_public("tickets.site_map_pages")]
    return _xml("sitemapindex", [("sitemap", part, None) for part in parts])


@bp.get("/sitemap/pages.xml")
def lasting_pages() -> Response:
    """List the pages that are always there."""
    paths = [url_for("home.show"), url_for("tickets.listing")]
    paths += [url_for("tickets.listing", category=category) for category in CATEGORIES]
    paths += [url_for("texts.show", name=name) for name in all_texts()]
    return _xml("urlset", [("url", path, None) for path in paths])


@bp.get("/sitemap/tickets.xml")
def first_tickets() -> Response:
    """List the first tickets on sale."""
    return _tickets(None)


@bp.get("/sitemap/tickets-<after>.xml")
def tickets(after: str) -> Response:
    """List the tickets on sale that were listed after one of them."""
    return _tickets(ids.ticket(after))


@bp.get("/sitemap/events.xml")
def first_events() -> Response:
    """List the first events with tickets on sale."""
    return _events(None)


@bp.get("/sitemap/events-<after>.xml")
def events(after: str) -> Response:
    """List the events with tickets on sale after one of them."""
    return _events(ids.event(after))


def public(path: str) -> str:
    """Return a path as a public address, whatever host name this request has."""
    return f"{current_app.config['PUBLIC_URL']}{path}"


def _tickets(after: str | None) -> Response:
    found = call_public("tickets.site_map", after=after)
    return _xml("urlset", [("url", url_for("tickets.show", ticket_id=ident), changed) for ident, changed in found])


def _events(after: str | None) -> Response:
    found = call_public("tickets.site_map_events", after=after)
    return _xml("urlset", [("url", url_for("events.show", event_id=ident), None) for ident in found])


def _xml(root: str, entries: list[tuple[str, str, str | None]]) -> Response:
    entries_xml = "".join(
        f"<{tag}><loc>{escape(public(path))}</loc>{f'<lastmod>{changed}</lastmod>' if changed else ''}</{tag}>\n"
        for tag, path, changed in entries
    )
    namespace = "http://www.sitemaps.org/schemas/sitemap/0.9"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{namespace}">\n{entries_xml}</{root}>\n'
    return _cached(text, "application/xml", HOUR)


def _cached(text: str, mimetype: str, how_long: str) -> Response:
    return Response(text, mimetype=mimetype, headers={"Cache-Control": how_long})
