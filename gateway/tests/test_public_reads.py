"""Answers from memory: to which clients, with which headers, and when a service is called after all."""

import gzip
import re
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product

import pytest
from flask import template_rendered
from prometheus_client import REGISTRY

from gateway.app import create_app
from gateway.cache import public
from gateway.cache.memory import MOST_FORMS
from gateway.compression import CODINGS
from gateway.languages import LANGUAGES
from gateway.pages.home import THEMES
from gateway.services import Services
from gateway.settings import Settings
from gateway.tests.fakes import SETTINGS, FakeServices, never_revoked

HAMLET = {"title": "Hamlet, row 3", "price": 19.99}


@cache
def another(**settings):
    """Return a second process of the gateway, built once."""
    return create_app(FakeServices(), SETTINGS | settings, never_revoked())


def remembering(app, services):
    """Let a process of the gateway hear that nothing has changed, now and in the next minute; return its memory."""
    app.extensions["services"] = Services(lambda: services, Settings.read(SETTINGS).signer)
    reads = app.extensions["public_reads"]
    reads._targets.clear()
    reads.memory.start_listening()
    reads.memory.trust(time.monotonic() + 60)
    return reads.memory


@pytest.fixture
def memory(app, services):
    memory = remembering(app, services)
    yield memory
    memory.stop_listening()


@pytest.fixture
def guest(app, memory):
    return app.test_client()


def reading(services):
    """Return how often services were asked for what everybody may see."""
    return sum(method in ("tickets.get", "tickets.list") for method, _ in services.calls)


def hits():
    return REGISTRY.get_sample_value("public_reads_total", {"outcome": "hit"}) or 0


@pytest.fixture(params=["one", "list"])
def path(request, ticket):
    return {"one": f"/api/tickets/{ticket['id']}", "list": "/api/tickets?limit=20"}[request.param]


def test_a_second_guest_is_answered_the_same_from_memory(guest, services, path):
    first = guest.get(path)
    asked, before = reading(services), hits()

    second = guest.get(path)

    assert (second.status_code, second.data) == (200, first.data)
    assert reading(services) == asked and hits() == before + 1
    own = {"X-Request-Id"}
    assert {k: v for k, v in first.headers if k not in own} == {k: v for k, v in second.headers if k not in own}
    assert second.headers["Cache-Control"] == "public, max-age=1" and second.headers["Age"] == "0"


def test_each_answer_from_memory_has_the_id_of_its_own_request(guest, path):
    guest.get(path)

    ids = [guest.get(path).headers["X-Request-Id"] for _ in range(2)]

    assert len(set(ids)) == 2
    assert guest.get(path, headers={"X-Request-Id": "of-a-client"}).headers["X-Request-Id"] == "of-a-client"


def test_head_is_answered_from_memory_without_a_body(guest, services, path):
    shown = guest.get(path)
    asked = reading(services)

    answer = guest.head(path)

    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(shown.data)) and answer.headers["ETag"] == shown.headers["ETag"]
    assert reading(services) == asked


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_it_already_is_told_so(guest, path, warm, form, memory):
    tag = guest.get(path).headers["ETag"]
    if not warm:
        memory.start_listening()

    answer = guest.get(path, headers={"If-None-Match": form.format(tag)})

    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", tag)
    assert answer.headers["Cache-Control"] == "public, max-age=1" and "Cookie" in answer.headers["Vary"]
    assert not {"Content-Type", "Content-Length"} & set(answer.headers.keys())
    assert guest.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_started_ticket_is_never_said_to_be_the_same(guest, services, ticket, memory):
    path = f"/api/tickets/{ticket['id']}"
    tag = guest.get(path).headers["ETag"]
    services.tickets[ticket["id"]]["starts_at"] = "2020-01-01T00:00:00.000Z"
    memory.start_listening()

    answers = [guest.get(path, headers={"If-None-Match": tag}) for _ in range(2)]

    assert [(answer.status_code, answer.json["status"]) for answer in answers] == [(200, "started")] * 2


def test_a_changed_list_has_another_etag(guest, ana, memory):
    before = guest.get("/api/tickets")
    ana.post("/api/tickets", json=HAMLET)
    memory.start_listening()

    answer = guest.get("/api/tickets", headers={"If-None-Match": before.headers["ETag"]})

    assert answer.status_code == 200 and len(answer.json) == len(before.json) + 1


def test_a_session_gets_the_same_body_which_nobody_may_keep(guest, bo, services, path):
    shown = guest.get(path)
    asked = reading(services)

    answer = bo.get(path)

    assert answer.data == shown.data and reading(services) == asked
    assert answer.headers["Cache-Control"] == "no-store" and "Age" not in answer.headers


def test_nobody_may_keep_what_a_session_read_first(memory, bo, path):
    assert bo.get(path).headers["Cache-Control"] == "no-store"


PAGES = {
    "list": "/tickets",
    "home": "/",
    "search": "/tickets?q=hamlet&category=&min_price=&max_price=&sort=newest",
    "one": "/tickets/{id}",
}


@pytest.fixture(params=PAGES)
def page(request, ticket):
    return PAGES[request.param].format(**ticket)


def test_a_second_guest_gets_the_same_page_from_memory(guest, services, page):
    first = guest.get(page)
    asked, before = reading(services), hits()

    second = guest.get(page)

    assert (second.status_code, second.data) == (200, first.data) and b"Hamlet, row 3" in second.data
    assert reading(services) == asked and hits() == before + 1
    own = {"X-Request-Id"}
    assert {k: v for k, v in first.headers if k not in own} == {k: v for k, v in second.headers if k not in own}
    assert second.headers["Cache-Control"] == "public, max-age=1"
    assert guest.get(page, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_users_get_pages_of_their_own_around_what_everybody_gets(guest, ana, bo, services, page):
    """Whoever comes first."""
    shown = [browser.get(page).text for browser in (ana, guest, bo, guest, ana)]
    asked = reading(services)

    assert [browser.get(page).text for browser in (bo, guest)] != shown
    assert reading(services) == asked
    emails = [[name for name in ("ana", "bo") if f"{name}@example.com" in text] for text in shown]
    assert emails == [["ana"], [], ["bo"], [], ["ana"]]
    assert ["csrf_token" in text for text in shown] == [True, False, True, False, True]
    assert all("Hamlet, row 3" in text for text in shown) and shown[1] == shown[3]
    assert {browser.get(page).headers["Cache-Control"] for browser in (ana, bo)} == {"no-store"}


def test_only_the_seller_may_edit_and_only_the_buyer_sees_the_order_whoever_came_first(guest, ana, bo, ticket):
    path = f"/tickets/{ticket['id']}"
    for browser in (ana, guest, bo):
        browser.get(path)
    bo.submit(path, f"{path}/buy")
    pages = [browser.get(path).text for browser in (ana, guest, bo)]

    assert ["This is your own ticket" in text for text in pages] == [True, False, False]
    assert ["Reserved by you" in text for text in pages] == [False, False, True]


def test_guests_get_a_page_each_in_their_theme_and_as_their_browser_decodes_it(guest, app, services, page):
    dark = app.test_client()
    dark.set_cookie("ticketing-theme", "dark")
    for browser in (guest, dark):
        for coding in ("", "gzip"):
            browser.get(page, headers={"Accept-Encoding": coding})
    asked, before = reading(services), hits()

    plain, packed = (guest.get(page, headers={"Accept-Encoding": coding}) for coding in ("", "gzip"))

    assert (plain.headers.get("Content-Encoding"), packed.headers.get("Content-Encoding")) == (None, "gzip")
    assert gzip.decompress(packed.data) == plain.data
    assert ['data-theme="dark"' in browser.get(page).text for browser in (guest, dark)] == [False, True]
    assert reading(services) == asked and hits() == before + 4


@pytest.mark.parametrize("cookie", ['ticketing-theme="dark"', "a-ticketing-theme=dark", "ticketing-theme=darker"])
def test_guests_do_not_get_the_theme_of_a_guest_with_a_strange_cookie(app, memory, cookie, page):
    guest = app.test_client(use_cookies=False)
    strange = guest.get(page, headers={"Cookie": cookie})
    pages = [guest.get(page, headers={"Cookie": theme}).text for theme in ("ticketing-theme=dark", "")]

    assert "data-theme" not in strange.text
    assert ['data-theme="dark"' in text for text in pages] == [True, False]


def test_a_guest_who_sends_many_codings_keeps_nobody_from_getting_pages_from_memory(app, guest, page):
    for number in range(MOST_FORMS):
        guest.get(page, headers={"Accept-Encoding": f"gzip, coding-{number}"})
    guest.get(page, headers={"Accept-Encoding": "br"})
    rendered = []

    with template_rendered.connected_to(lambda _, template, **__: rendered.append(template.name), app):
        guest.get(page, headers={"Accept-Encoding": "br"})

    assert rendered == []


def test_a_page_is_kept_in_all_languages_themes_and_codings_beside_what_users_see_of_it(app, memory, ana, page):
    browsers = []
    for language, theme, coding in product(LANGUAGES, ("", *THEMES), ("", *CODINGS)):
        browsers.append(app.test_client())
        browsers[-1].set_cookie("ticketing-theme", theme)
        browsers[-1].environ_base |= {"HTTP_ACCEPT_LANGUAGE": language, "HTTP_ACCEPT_ENCODING": coding}
    for language in LANGUAGES:
        ana.get(page, headers={"Accept-Language": language})
    for browser in browsers:
        browser.get(page)
    rendered = []

    with template_rendered.connected_to(lambda _, template, **__: rendered.append(template.name), app):
        for browser in browsers:
            browser.get(page)

    assert rendered == []


def test_the_page_of_a_sold_out_event_is_kept_no_longer_than_until_the_event_starts(app, memory, ana, bo):
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=9)
    ticket = ana.post("/api/tickets", json=HAMLET | {"startsAt": start.isoformat()}).json
    bo.post("/api/orders", json={"ticketId": ticket["id"]})

    with app.test_request_context():
        found = public.event(ticket["eventId"], None, 30)

    assert found.value["tickets"] == [] and found.until == start.timestamp()


def test_notices_are_shown_to_one_visitor_once(guest, ana, bo, ticket):
    path = f"/tickets/{ticket['id']}"
    ana.submit(f"{path}/edit", title="Hamlet, row 4", price="19.99", category="stage")

    assert ["Your changes are saved" in browser.get(path).text for browser in (ana, guest, bo, ana)] == [
        *(True, False, False, False)
    ]


def test_pages_asked_for_with_something_unknown_are_not_kept_but_ask_no_service(guest, services, ticket):
    for path in ("/tickets", "/", f"/tickets/{ticket['id']}"):
        guest.get(path)
        asked = reading(services)

        answers = [guest.get(f"{path}?token={number}") for number in ("secret-1", "secret-2")]

        assert {answer.headers["Cache-Control"] for answer in answers} == {"no-cache"}
        assert "secret-1" not in answers[1].text and "secret" not in guest.get(path).text
        assert reading(services) == asked


@pytest.mark.parametrize("typed", ["1.500", "1,500"])
def test_a_link_with_a_price_finds_the_same_for_whoever_opens_it(guest, services, typed):
    answers = [
        guest.get(f"/tickets?min_price={typed}", headers={"Accept-Language": language})
        for language in ("de", "en", "de-AT", "en-GB", "fr")
    ]

    assert {answer.status_code for answer in answers} == {200}
    asked = [arguments["min_price_cents"] for name, arguments in services.calls if name == "tickets.list"]
    assert {*asked} == {150_000}


def test_who_is_signed_in_and_who_is_not_each_see_their_own_navigation(app, memory, ana):
    visitor = app.test_client()
    visitor.get("/signin")  # which starts a session

    pages = [browser.get("/tickets").text for browser in (ana, visitor, ana, visitor)]

    assert ["Find tickets" in page for page in pages] == [True] * 4
    assert ['href="/selling"' in page for page in pages] == [True, False, True, False]


def test_what_an_address_searched_wrongly_is_not_kept(guest, memory):
    for _ in range(2):
        answer = guest.get("/tickets?min_price=x")
        assert (answer.status_code, answer.headers["Cache-Control"]) == (400, "no-store")
    assert not memory._entries


def test_no_answer_from_memory_sets_a_cookie(guest, bo, path):
    for browser in (guest, bo, guest, bo):
        assert "Set-Cookie" not in browser.get(path).headers


CHANGES = {
    "edit": ("ana", lambda ana, path, page: ana.put(path, json=HAMLET | {"price": 25})),
    "withdraw": ("ana", lambda ana, path, page: ana.delete(path)),
    "withdraw on the page": ("ana", lambda ana, path, page: ana.submit(page, f"{page}/withdraw")),
    "reserve": ("bo", lambda bo, path, page: bo.post("/api/orders", json={"ticketId": path.rpartition("/")[2]})),
    "reserve on the page": ("bo", lambda bo, path, page: bo.submit(page, f"{page}/buy")),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_who_has_changed_something_sees_it_at_once_in_every_process(app, memory, services, ana, bo, ticket, kind):
    """Though no process has heard of it yet."""
    path, page = f"/api/tickets/{ticket['id']}", f"/tickets/{ticket['id']}"
    processes, (who, change) = (app, another()), CHANGES[kind]
    remembering(another(), services)
    before = [process.test_client().get(path).json for process in processes][0]

    answered = change({"ana": ana, "bo": bo}[who], path, page)

    assert answered.status_code < 400
    for process in processes:
        browser = process.test_client()
        assert browser.get(path).json == before  # a guest is not told yet
        browser._cookies = {"ana": ana, "bo": bo}[who]._cookies
        assert browser.get(path).json != before


def test_the_mark_of_a_change_is_short_and_private(ana):
    cookies = ana.post("/api/tickets", json=HAMLET).headers.getlist("Set-Cookie")

    assert [re.sub("Expires=[^;]+; ", "", cookie) for cookie in cookies] == [
        "ticketing-changed=1; Max-Age=3; HttpOnly; Path=/; SameSite=Lax"
    ]


def test_who_signs_out_after_a_change_is_told_how_old_the_answer_is(guest, ana, path):
    ana.post("/api/tickets", json=HAMLET)
    ana.post("/api/users/signout")

    answer = ana.get(path)

    assert ana.get_cookie("ticketing-changed") and not ana.get_cookie("ticketing-session")
    assert (answer.headers["Cache-Control"], answer.headers["Age"]) == ("public, max-age=1", "0")


def test_a_change_that_nobody_answered_marks_too(ana, services):
    services.unavailable = {"tickets"}

    answer = ana.post("/api/tickets", json=HAMLET)

    assert answer.status_code == 503 and "ticketing-changed=1" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("page", ["/selling", "/my/tickets", "/account", "/api/orders", "/api/tickets/mine"])
def test_looking_marks_nobody(bo, page):
    assert "ticketing-changed" not in str(bo.get(page).headers.getlist("Set-Cookie"))


def test_unknown_parameters_are_answered_from_the_same_memory_and_lead_nowhere(guest, ana, services, memory):
    for _ in range(2):
        ana.post("/api/tickets", json=HAMLET)
    shown = guest.get("/api/tickets?limit=1")
    asked, known = reading(services), len(memory._entries)

    answers = [guest.get(f"/api/tickets?utm_source={number}&limit=1") for number in range(20)]

    assert {answer.data for answer in answers} == {shown.data}
    assert {answer.headers["Link"] for answer in answers} == {shown.headers["Link"]}
    assert reading(services) == asked
    assert len(memory._entries) == known


def test_what_was_asked_for_is_remembered_within_bounds(guest, ticket):
    reads = guest.application.extensions["public_reads"]

    guest.get(f"/api/tickets?x={'a' * 2000}")
    assert not reads._targets
    guest.get("/api/tickets?x=1")
    assert len(reads._targets) == 1


@pytest.mark.parametrize("path", ["/api/tickets/" + "0" * 24, "/api/tickets?limit=0", "/api/tickets?after=x"])
def test_errors_are_not_kept(guest, path, memory):
    answers = [guest.get(path) for _ in range(2)]

    assert {answer.status_code for answer in answers} <= {400, 404}
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    assert not memory._entries


def test_what_flask_would_refuse_is_refused_though_it_is_in_memory(services, ana):
    process = another(GATEWAY_TRUSTED_HOSTS="tickets.example")
    remembering(process, services)
    guest, ours = process.test_client(), {"base_url": "http://tickets.example"}
    for _ in range(2):
        assert guest.get("/api/tickets", **ours).status_code == 200

    assert guest.get("/api/tickets", base_url="http://elsewhere.example").status_code == 400
    assert guest.get("/api/tickets", headers={"Content-Encoding": "gzip"}, **ours).status_code == 415
    assert guest.post("/api/tickets", json=HAMLET, **ours).status_code == 401


def test_requests_are_counted_by_their_route_when_they_are_answered_from_memory(guest, ticket):
    route = {"method": "GET", "route": "/api/tickets/<ticket_id>"}

    def counted():
        answered = REGISTRY.get_sample_value("http_requests_total", {**route, "status": "200"}) or 0
        return answered, REGISTRY.get_sample_value("http_request_seconds_count", route) or 0

    guest.get(f"/api/tickets/{ticket['id']}")
    before = counted()
    guest.get(f"/api/tickets/{ticket['id']}")

    assert counted() == tuple(number + 1 for number in before)


def test_a_gateway_that_hears_of_no_changes_asks_each_time(client, services, ticket):
    asked = reading(services)

    for _ in range(3):
        client.get(f"/api/tickets/{ticket['id']}")

    assert reading(services) == asked + 3
