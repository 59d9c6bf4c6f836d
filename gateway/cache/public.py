"""Public answers from memory: in front of Flask what is served as it is, behind its hooks what becomes part of a page.

Nothing private is kept: what a form is made of is the service's public answer and the query, and only guests, who send
no session, get whole pages of it.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from flask import Flask, Response, current_app, g, request
from werkzeug.http import parse_etags

from gateway import metrics
from gateway.cache.follower import Follower
from gateway.cache.marks import has_changed
from gateway.cache.memory import Entry, Key, Memory, reads
from gateway.errors import REFUSED
from gateway.services import CALL_SECONDS, Services, call_public
from libs import context

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PUBLIC = "public, max-age=1"
PRIVATE = "no-store"
MOST_TARGETS = 5000
LONGEST_TARGET = 1000
WATERMARK_SECONDS = 1.0
OF_CONTENT = ("Content-Type", "Content-Length", "ETag", "Link")
CODINGS = ("HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING")
FOREVER = float("inf")

_hits, _own_changes = reads.labels("hit"), reads.labels("own_change")

Target = tuple[str, ...]
"""What a request asks for, as it was typed."""


class Known(NamedTuple):
    """What a target means: which form of which entry, by which route."""

    key: Key
    form: str
    route: str


class Answer:
    """A form that is a whole response, with the headers of its content; `tag` is its ETag if 304 may be answered."""

    def __init__(self, response: Response, *, has_tag: bool = True) -> None:
        self.body = response.get_data()
        if "ETag" not in response.headers:
            link = response.headers.get("Link", "")
            response.set_etag(hashlib.blake2b(self.body + link.encode(), digest_size=12).hexdigest())
        self.tag = response.get_etag()[0] if has_tag else None
        response.content_length = len(self.body)
        self.headers = [(name, response.headers[name]) for name in OF_CONTENT if name in response.headers]
        self.is_page = response.mimetype == "text/html"

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.body) + 1000

    def response(self) -> Response:
        """Return a response of Flask's: 304 without the body if the request has it already."""
        has_it = self.tag and _has_it(request.environ, self.tag)
        return Response(b"" if has_it else self.body, 304 if has_it else 200, self.headers)


class PublicReads:
    """The public reads of a process, and WSGI middleware that answers from them what it can.

    `fixed` are the headers that every response has, `session_cookie` is the name of the session's.
    """

    def __init__(
        self, application: "WSGIApplication", memory: Memory, fixed: Iterable[tuple[str, str]], session_cookie: str
    ) -> None:
        self.memory = memory
        self._application = application
        self._fixed = [*fixed, ("Vary", "Cookie")]
        self._session = f"{session_cookie}="
        self._targets: OrderedDict[Target, Known] = OrderedDict()

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
        status = "304 NOT MODIFIED" if answer.tag and _has_it(environ, answer.tag) else "200 OK"
        caching = [("Cache-Control", PRIVATE)] if has_session else self.caching(entry)
        own = [header for header in answer.headers if header[0] == "ETag"] if status[0] == "3" else answer.headers
        start_response(status, [*own, *self._fixed, *caching, ("X-Request-Id", context.correlation_id())])
        method = environ["REQUEST_METHOD"]
        metrics.count(method, known.route, int(status[:3]), time.perf_counter() - began)
        return [answer.body] if method == "GET" and status[0] == "2" else []

    def caching(self, entry: Entry) -> list[tuple[str, str]]:
        """Return the headers by which a proxy may keep the answer to a guest."""
        return [("Cache-Control", PUBLIC), ("Age", str(round(self.memory.age(entry))))]

    def remember(self, environ: "WSGIEnvironment", known: Known) -> None:
        """Answer such a request from memory next time."""
        target = target_of(environ)
        if sum(map(len, target)) <= LONGEST_TARGET:
            self._targets[target] = known
            while len(self._targets) > MOST_TARGETS:
                self._targets.popitem(last=False)


def target_of(environ: "WSGIEnvironment") -> Target:
    """Return what a request asks for; prices are read by the visitor's language."""
    query = environ.get("QUERY_STRING", "")
    languages = environ.get("HTTP_ACCEPT_LANGUAGE", "") if "price" in query else ""
    return environ.get("HTTP_HOST", ""), environ.get("PATH_INFO", ""), query, languages


def _is_plain(environ: "WSGIEnvironment") -> bool:
    """Return whether Flask's hooks would have nothing against the request."""
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and REFUSED not in environ
        and not any(environ.get(name) for name in CODINGS)
    )


def _has_it(environ: "WSGIEnvironment", tag: str) -> bool:
    given = environ.get("HTTP_IF_NONE_MATCH")
    return bool(given) and parse_etags(given).contains_weak(tag)


def register(app: Flask, fixed: Iterable[tuple[str, str]]) -> Memory:
    """Let `app` answer from a memory, which keeps nothing until something follows tickets for it; return that."""
    memory = Memory()
    cookie = app.config["SESSION_COOKIE_NAME"]
    app.extensions["public_reads"] = reads = PublicReads(app.wsgi_app, memory, fixed, cookie)
    app.wsgi_app = reads  # type: ignore[method-assign]
    return memory


def follow(app: Flask, amqp_url: str, services: Services, memory: Memory) -> Follower:
    """Let background threads keep the memory current, from the first request on."""

    def ask(process: str, number: int) -> None:
        services.call_as_gateway("tickets.watermark", WATERMARK_SECONDS, process=process, number=number)

    follower = Follower(amqp_url, memory, ask)
    app.before_request(follower.start)
    return follower


def ticket(ticket_id: str) -> Entry:
    """Return a ticket as tickets shows it to everybody, from memory unless this session has just changed something."""
    return _read(ticket_id, "tickets.get", {"ticket_id": ticket_id})


def tickets(query: dict[str, Any]) -> Entry:
    """Return a page of a list of tickets, as `ticket` does."""
    return _read(tuple(sorted(query.items())), "tickets.list", query)


def answer(entry: Entry, form: str, make: Callable[[Any], Response], *, has_tag: bool = True) -> Response:
    """Return the whole response that `make(value)` makes of an entry, or has made; the same for everybody."""
    made: Answer | None = entry.forms.get(form)
    if made is None:
        made = Answer(make(entry.value), has_tag=has_tag)
        _reads().memory.keep(entry, form, made, made.size)
    assert request.url_rule is not None
    g.public_entry = entry
    _reads().remember(request.environ, Known(entry.key, form, request.url_rule.rule))
    return made.response()


def part(entry: Entry, form: str, make: Callable[[Any], str]) -> str:
    """Return the part of a page that `make(value)` makes of an entry, or has made; the same for everybody."""
    made: str | None = entry.forms.get(form)
    if made is None:
        made = make(entry.value)
        _reads().memory.keep(entry, form, made, len(made))
    return made


def caching_headers() -> list[tuple[str, str]] | None:
    """Return how proxies may keep the response to this request; None when they may not."""
    entry: Entry | None = g.get("public_entry")
    if entry is None or current_app.config["SESSION_COOKIE_NAME"] in request.cookies:
        return None
    return _reads().caching(entry)


def _read(key: Key, method: str, arguments: dict[str, Any]) -> Entry:
    def read(seconds: float) -> tuple[Any, int | None, float]:
        value = call_public(method, timeout=seconds, **arguments)
        return value, value.get("version"), _changes_at(value.get("tickets", [value]))

    if has_changed():
        _own_changes.inc()
        return Entry(key, *read(CALL_SECONDS))
    return _reads().memory.fetch(key, read, CALL_SECONDS)


def _changes_at(found: list[dict[str, Any]]) -> float:
    """Return the next moment at which one of these tickets starts."""
    starts = (datetime.fromisoformat(each["starts_at"]).timestamp() for each in found if each["starts_at"])
    now = time.time()
    return min((start for start in starts if start > now), default=FOREVER)


def _reads() -> PublicReads:
    return cast(PublicReads, current_app.extensions["public_reads"])
