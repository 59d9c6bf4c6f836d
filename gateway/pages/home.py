"""The home page, and the choices of a theme and of a language, which the browser remembers."""

from collections.abc import Collection
from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request, url_for

from gateway import languages
from gateway.cache import public
from gateway.schemas import TicketQuery
from gateway.security import safe_path

SOONEST, NEWEST = 4, 8
THEMES = ("light", "dark")
THEME_COOKIE = "ticketing-theme"
CHOICE_SECONDS = 31_536_000

bp = Blueprint("home", __name__)


@bp.get("/")
def show() -> Any:
    """Show what starts soonest and what is new; searches are redirected to the list, which was here before."""
    if request.args.keys() & {field.data_key for field in TicketQuery().load_fields.values()}:
        return redirect(f"{url_for('tickets.listing')}?{request.query_string.decode('ascii', 'replace')}", 301)
    found = public.highlights(SOONEST, NEWEST)
    return public.page(found, "", lambda: render_template("home.html", **found.value))


@bp.post("/theme")
def choose_theme() -> Any:
    """Remember the theme in this browser."""
    return _remember(THEME_COOKIE, request.form.get("theme", ""), THEMES)


@bp.post("/language")
def choose_language() -> Any:
    """Remember the language in this browser."""
    return _remember(languages.COOKIE, request.form.get("language", ""), languages.LANGUAGES)


def _remember(cookie: str, chosen: str, choices: Collection[str]) -> Any:
    response = redirect(safe_path(request.form.get("back")) or url_for("home.show"), 303)
    if chosen in choices:
        secure = current_app.config["SESSION_COOKIE_SECURE"]
        response.set_cookie(cookie, chosen, CHOICE_SECONDS, secure=secure, httponly=True, samesite="Lax")
    return response


def theme() -> str:
    """Return the theme that this browser's user chose, or "" for that of their system."""
    return public.theme_of(request.environ)
