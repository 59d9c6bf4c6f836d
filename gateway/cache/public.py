"""Public answers from memory: whole responses in front of Flask, parts of pages behind its hooks.

Nothing private is kept: a form is made from the service's public answer and the query, and only guests, who send no
session, get whole pages from it.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from flask import Flask, Response, current_app, g, make_response, request, session
from markupsafe import Markup
from werkzeug.http import parse_etags

from gateway import metrics
from gateway.cache.ended_holds import EndedHolds
from gateway.cache.follower import Follower
from gateway.cache.marks import has_changed
from gateway.cache.memory import Entry, Key, Memory, reads
from gateway.errors import UNREADABLE
from gateway.formats import next_midnight
from gateway.languages import language, language_of
from gateway.services import CALL_SECONDS, Services, call_public
from libs import context
from libs.bounded import BoundedDict

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PUBLIC = "public, max-age=1"
PRIVATE = "no-store"
MOST_TARGETS = 5000
LONGEST_TARGET = 1000
WATERMARK_SECONDS = 1.0
SELLER_SECONDS = 30
"""How long a page with a seller's profile may be kept: changes of those are not published."""
OWN = ("X-Request-Id", "Cache-Control", "Age", "Date")
"""Headers with a new value in each response."""
OF_CONTENT = ("Content-Type", "Content-Length", "Content-Encoding", "Link")
"""Headers that 304 omits."""
THEME = re.compile(r"(?<![^; ])ticketing-theme=(light|dark)(?![^; ])")
CODINGS = ("HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING")

_hits = reads.labels("hit")

Target = tuple[str, ...]
"""The target of a request, verbatim."""


class Known(NamedTuple):
    """The form of an entry that a target leads to, and its route."""

    key: Key
    form: str
    route: str


class Answer:
    """A form that is a whole response, with the headers that are always the same.

    `tag` is its ETag, None where 304 may not be answered.
    """

    def __init__(self, response: Response, tag: str | None) -> None:
        self.body = response.get_data()
        response.content_length = len(self.body)
        self.tag = tag
        self.headers = [(name, value) for name, value in response.headers if name not in OWN]
        self.same = [(name, value) for name, value in self.headers if name not in OF_CONTENT]
        self.is_page = response.mimetype == "text/html"

    @property
    def size(self) -> int:
        """Its approximate size in bytes."""
        return len(self.body) + 2000


class PublicReads:
    """The public reads of a process, and WSGI middleware that answers requests from them if possible.

    `session_cookie` is the name of the session's.
    """

    def __init__(self, application: "WSGIApplication", memory: Memory, session_cookie: str) -> None:
        self.memory = memory
        self._application = application
        self._session = f"{session_cookie}="
        self._targets: BoundedDict[Target, Known] = BoundedDict(MOST_TARGETS)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request."""
        known = self._targets.get(target_of(environ))
        if known is None or not _is_plain(environ):
            return self._application(environ, start_response)
        began = time.perf_counter()
        entry = self.memory.find(known.key)
        answer: Answer | None = entry.forms.get(known.form) if entry else None
        cookies = environ.get("HTTP_COOKIE", "")
        has_session = self._session in cookies
        if entry is None or answer is None or (cookies and (has_changed(cookies) or (has_session and answer.is_page))):
            return self._application(environ, start_response)
        _hits.inc()
        has_it = answer.tag is not None and _has_it(environ, answer.tag)
        caching = [("Cache-Control", PRIVATE)] if has_session else self.caching(entry)
        own = [*caching, ("X-Request-Id", context.correlation_id())]
        start_response("304 NOT MODIFIED" if has_it else "200 OK", [*(answer.same if has_it else answer.headers), *own])
        method = environ["REQUEST_METHOD"]
        metrics.count(method, known.route, 304 if has_it else 200, time.perf_counter() - began)
        return [answer.body] if method == "GET" and not has_it else []

    def caching(self, entry: Entry) -> list[tuple[str, str]]:
        """Return the headers by which a proxy may keep the answer to a guest."""
        return [("Cache-Control", PUBLIC), ("Age", str(round(self.memory.age(entry))))]

    def remember(self, target: Target, known: Known) -> None:
        """Answer such a request from memory next time."""
        if sum(map(len, target)) <= LONGEST_TARGET:
            self._targets[target] = known


def target_of(environ: "WSGIEnvironment") -> Target:
    """Return the target of a request with its variant: pages vary, and prices are parsed by the visitor's language."""
    query = environ.get("QUERY_STRING", "")
    languages = environ.get("HTTP_ACCEPT_LANGUAGE", "") if "price" in query else ""
    return environ.get("HTTP_HOST", ""), environ.get("PATH_INFO", ""), query, languages, _variant(environ)


def _variant(environ: "WSGIEnvironment") -> str:
    """Return the properties in which the pages of guests differ: their coding, the theme and the language."""
    if environ.get("PATH_INFO", "").startswith("/api/"):
        return ""
    return f"{environ.get('HTTP_ACCEPT_ENCODING', '')} {theme_of(environ)} {language_of(environ)}"


def theme_of(environ: "WSGIEnvironment") -> str:
    """Return the theme that was chosen in the browser of a request, or "" for that of its system."""
    cookies = environ.get("HTTP_COOKIE")
    chosen = THEME.search(cookies) if cookies else None
    return chosen[1] if chosen else ""


def _is_plain(environ: "WSGIEnvironment") -> bool:
    """Return whether Flask's hooks would have nothing against the request."""
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and UNREADABLE not in environ
        and not any(environ.get(name) for name in CODINGS)
    )


def _has_it(environ: "WSGIEnvironment", tag: str) -> bool:
    given = environ.get("HTTP_IF_NONE_MATCH")
    return bool(given) and parse_etags(given).contains_weak(tag)


def register(app: Flask) -> Memory:
    """Let `app` answer from a memory, which keeps nothing until a follower keeps it current; return the reads.

    To be registered before any hook that changes responses: they are kept as they are sent.
    """
    memory = Memory()
    reads = PublicReads(app.wsgi_app, memory, app.config["SESSION_COOKIE_NAME"])
    app.extensions["public_reads"], app.extensions["ended_holds"] = reads, EndedHolds()
    app.wsgi_app = reads  # type: ignore[method-assign]
    app.after_request(_keep_answer)
    app.add_template_global(kept)
    return memory


def follow(app: Flask, amqp_url: str, services: Services, memory: Memory) -> Follower:
    """Let background threads keep the memory current and note ended holds, from the first request on."""

    def ask(process: str, number: int) -> None:
        services.call_as_gateway("tickets.watermark", WATERMARK_SECONDS, process=process, number=number)

    follower = Follower(amqp_url, memory, ask, app.extensions["ended_holds"])
    app.before_request(follower.start)
    return follower


def ticket(ticket_id: str) -> Entry:
    """Return the public fields of a ticket, from memory unless this session has just changed something."""
    return _read(ticket_id, "tickets.get", {"ticket_id": ticket_id}, shows_sellers=True)


def tickets(query: dict[str, Any]) -> Entry:
    """Return a page of a list of tickets, as `ticket` does."""
    return _read(tuple(sorted(query.items())), "tickets.list", query)


def event(event_id: str, after: str | None, limit: int) -> Entry:
    """Return a page of an event's tickets, as `ticket` does."""
    query = {"event_id": event_id, "limit": limit, **({"after": after} if after else {})}
    return _read(("event", *sorted(query.items())), "tickets.event", query, shows_sellers=True)


def highlights(soonest: int, newest: int) -> Entry:
    """Return the tickets for the home page, as `ticket` does."""
    return _read(("highlights", soonest, newest), "tickets.highlights", {"soonest": soonest, "newest": newest})


def answer(entry: Entry, form: str, make: Callable[[], Response], *, has_tag: bool = True) -> Response:
    """Return the response for an entry, from memory or by `make()`; the same for everybody."""
    asked = g.asked_publicly = _Asked(entry, f"{form} {_variant(request.environ)}", has_tag)
    found: Answer | None = entry.forms.get(asked.form)
    if found is not None:
        return Response(found.body, headers=found.headers)
    response = make()
    if "ETag" not in response.headers:
        link = response.headers.get("Link", "")
        response.set_etag(hashlib.blake2b(response.get_data() + link.encode(), digest_size=12).hexdigest())
    return response


def page(entry: Entry, asked: str, make: Callable[[], str]) -> Any:
    """Return the page that `make()` makes of an entry: for guests all of it from memory, for others its `kept` parts.

    `asked` is the query with the page's own parameters only. A page may show more of a query than that, and nothing of
    such a page is kept.
    """
    if request.query_string.decode(errors="replace") != asked:
        return make()
    form = f"?{asked}"
    g.parts_of = entry, form
    return make() if _has_session() else answer(entry, form, lambda: make_response(make()))


def kept(name: str, caller: Callable[[], Markup]) -> Markup:
    """Return a part of a page that is the same for everybody, as `{% call kept("name") %}` in its template has it."""
    if "parts_of" not in g:
        return caller()
    entry, form = g.parts_of
    name = f"{name} of {form} {language()}"
    found: Markup | None = entry.forms.get(name)
    if found is None:
        found = caller()
        _reads().memory.keep(entry, name, found, len(found))
    return found


class _Asked(NamedTuple):
    """A request whose answer is the same for everybody."""

    entry: Entry
    form: str
    has_tag: bool


def _keep_answer(response: Response) -> Response:
    """Keep the answer as it is sent; answer 304 if the client has it already."""
    asked: _Asked | None = g.get("asked_publicly")
    if asked is None or response.status_code != 200 or session.modified or "Set-Cookie" in response.headers:
        return response
    tag = response.get_etag()[0] if asked.has_tag else None
    assert request.url_rule is not None
    if request.method == "GET":
        if asked.form not in asked.entry.forms:
            made = Answer(response, tag)
            _reads().memory.keep(asked.entry, asked.form, made, made.size)
        known = Known(asked.entry.key, asked.form, request.url_rule.rule)
        _reads().remember(target_of(request.environ), known)
    if tag is not None and _has_it(request.environ, tag):
        response.status_code = 304
        response.set_data(b"")
        for name in OF_CONTENT:
            response.headers.pop(name, None)
    return response


def _has_session() -> bool:
    return current_app.config["SESSION_COOKIE_NAME"] in request.cookies


def caching_headers() -> list[tuple[str, str]] | None:
    """Return how proxies may keep the response to this request; None when they may not."""
    asked: _Asked | None = g.get("asked_publicly")
    return None if asked is None or session.modified or _has_session() else _reads().caching(asked.entry)


def _read(key: Key, method: str, arguments: dict[str, Any], *, shows_sellers: bool = False) -> Entry:
    def read(seconds: float) -> tuple[Any, int | None, float]:
        value = call_public(method, timeout=seconds, **arguments)
        event = [value["event"]] if "event" in value else []
        changes_at = _changes_at([*value.get("tickets", [value]), *value.get("soonest", ()), *event])
        return (
            value,
            value.get("version"),
            min(changes_at, time.time() + SELLER_SECONDS) if shows_sellers else changes_at,
        )

    memory = _reads().memory
    return (memory.read_past if has_changed() else memory.fetch)(key, read, CALL_SECONDS)


def _changes_at(found: list[dict[str, Any]]) -> float:
    """Return the next moment at which one of these tickets starts, or "today" ends in one of their time zones."""
    starts = (datetime.fromisoformat(each["starts_at"]).timestamp() for each in found if each["starts_at"])
    now = time.time()
    midnight = next_midnight({each.get("time_zone") for each in found})
    return min([start for start in starts if start > now] + [midnight])


def _reads() -> PublicReads:
    return cast(PublicReads, current_app.extensions["public_reads"])
