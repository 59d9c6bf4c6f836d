"""The home page, and the choice between the light and the dark theme."""

from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request, url_for

from gateway.cache import public
from gateway.schemas import TicketQuery
from gateway.security import safe_path

SOONEST, NEWEST = 4, 8
THEMES = ("light", "dark")
THEME_COOKIE = "ticketing-theme"
THEME_SECONDS = 31_536_000

bp = Blueprint("home", __name__)


@bp.get("/")
def show() -> Any:
    """Show what starts soonest and what is new; links to searches of the time when the list was here still work."""
    if request.args.keys() & {field.data_key for field in TicketQuery().load_fields.values()}:
        return redirect(f"{url_for('tickets.listing')}?{request.query_string.decode('ascii', 'replace')}", 301)
    found = public.highlights(SOONEST, NEWEST)
    return public.page(found, "", lambda: render_template("home.html", **found.value))


@bp.post("/theme")
def choose_theme() -> Any:
    """Remember the theme in this browser."""
    response = redirect(safe_path(request.form.get("back")) or url_for("home.show"), 303)
    if request.form.get("theme") in THEMES:
        response.set_cookie(
            THEME_COOKIE,
            request.form["theme"],
            THEME_SECONDS,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
    return response


def theme() -> str:
    """Return the theme that this browser's user chose, or "" for that of their system."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""
