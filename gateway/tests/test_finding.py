"""The list of tickets: filters, pages and the address that has all of it, without JavaScript; and a phone."""

import html
import re
from zoneinfo import ZoneInfo

import pytest

from gateway.tests.browsing import url, visit  # noqa: F401 - fixtures
from gateway.tests.test_pages import page_text

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def several(ana):
    """Sixty tickets, three pages of them."""
    for number in range(60):
        details = {"price": 10 + number, "category": "stage" if number % 2 else "concert", "venue": "Globe, London"}
        ana.post("/api/tickets", json={"title": f"Hamlet {number:02}", "startsAt": "2030-06-15T12:00Z", **details})


def shown(client, path):
    return re.findall(r"<bdi>(Hamlet \d+)</bdi>", client.get(path).text)


def link(client, path, text):
    """Return the address of the link with this text."""
    found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>(?:(?!</a>).)*{text}', client.get(path).text, re.DOTALL)
    return html.unescape(found[1]) if found else None


def last_query(services):
    return next(arguments for method, arguments in reversed(services.calls) if method == "tickets.list")


def test_every_filter_is_in_the_address_and_in_the_form_again(client, services):
    text = client.get(
        "/tickets?q=ham&place=lond&from=2030-06-01&to=2030-06-30&min_price=1&max_price=50&status=unsold&category=stage"
    ).text

    assert last_query(services) == {
        "q": "ham",
        "place": "lond",
        "category": "stage",
        "status": "unsold",
        "sort": "soonest",
        "min_price_cents": 100,
        "max_price_cents": 5000,
        "limit": 24,
        "count": True,
        "by_event": True,
        "starts_from": "2030-06-01T00:00:00+00:00",
        "starts_before": "2030-07-01T00:00:00+00:00",
    }
    for name, value in {
        "q": "ham",
        "place": "lond",
        "from": "2030-06-01",
        "to": "2030-06-30",
        "max_price": "50",
    }.items():
        assert re.search(rf'<input id="{name}"[^>]* value="{value}"', text)
    assert re.search(r'name="status"[^>]* checked', text) and 'type="hidden" value="stage"' in text
    assert "<title>ham, lond: Theatre tickets on sale" in text


def test_category_chips_keep_the_other_filters_and_begin_at_the_first_page(client, several):
    chip = link(client, "/tickets?q=hamlet&place=globe&sort=price_asc&after=24&trail=x", "Theatre")

    assert chip == "/tickets?q=hamlet&place=globe&sort=price_asc&category=stage"


def test_days_are_asked_for_as_the_clock_of_the_site_has_them(client, app, services, monkeypatch):
    monkeypatch.setitem(app.config, "TIME_ZONE", ZoneInfo("America/New_York"))

    client.get("/tickets?from=2030-06-15&to=2030-06-15")

    asked = last_query(services)
    assert (asked["starts_from"], asked["starts_before"]) == ("2030-06-15T00:00:00-04:00", "2030-06-16T00:00:00-04:00")


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("from=soon", "Enter a day like 2030-01-31."),
        ("to=0001-01-01", "Enter a day like 2030-01-31."),
        ("from=9999-12-31", "Enter a day like 2030-01-31."),
        ("from=2030-02-30", "Enter a day like 2030-01-31."),
        ("from=2030-06-02&to=2030-06-01", "The last day is before the first."),
    ],
)
def test_day_that_is_none_is_explained_at_its_field(client, query, problem):
    page = client.get(f"/tickets?{query}")

    assert (page.status_code, page.text.count(problem)) == (400, 2)
    assert client.get(f"/api/tickets?{query}").json["errors"][0]["message"] == problem


def test_pages_lead_forth_and_back_to_the_same_tickets(client, several):
    paths = ["/tickets?q=hamlet"]
    while following := link(client, paths[-1], "Next page"):
        paths.append(following)

    back = [paths[-1]]
    while previous := link(client, back[-1], "Previous page"):
        back.append(previous)

    assert len(paths) == 3 and back == paths[::-1]
    assert [len(shown(client, path)) for path in paths] == [24, 24, 12]
    assert all("60 tickets" in page_text(client, path) for path in paths)


def test_page_far_from_the_first_leads_back_as_far_as_its_address_knows(client, several):
    path = "/tickets?after=24&trail=" + ".".join(str(number) for number in range(1, 7))
    reached = following = link(client, path, "Next page")
    for _ in range(6):
        reached = link(client, reached, "Previous page")

    assert following.endswith("trail=.2.3.4.5.6.24")
    assert (reached, link(client, reached, "First page")) == ("/tickets?after=2&trail=.", "/tickets")


@pytest.mark.parametrize("trail", ["<script>", "a b", "%00", "é"])
def test_trail_that_no_page_has_made_is_ignored(client, several, trail):
    page = client.get("/tickets", query_string={"after": "24", "trail": trail})

    assert page.status_code == 200 and "trail" not in (link(client, page.request.full_path, "Previous page") or "")


def test_corrected_search_says_so(client, services, monkeypatch):
    found = {
        "tickets": [],
        "next": "24",
        "corrections": {"hamlte": "hamlet"},
        "count": {"tickets": 200, "is_all": False},
    }
    monkeypatch.setattr(services, "tickets_list", lambda *_, **__: found, raising=False)

    assert "No ticket matches “hamlte”. These match “hamlet”." in page_text(client, "/tickets?q=hamlte")


def test_more_tickets_than_are_counted_are_not_called_all(client, services, ticket, monkeypatch):
    listed = services.tickets_list
    many = {"count": {"tickets": 200, "is_all": False}}
    monkeypatch.setattr(services, "tickets_list", lambda *args, **given: listed(*args, **given) | many)

    assert "More than 200 tickets" in page_text(client, "/tickets")


def test_filters_are_in_sight_on_a_wide_window(visit, bo, several):  # noqa: F811
    page = visit(bo, viewport={"width": 1280, "height": 800})
    page.goto("/tickets?sort=price_asc")

    page.get_by_label("Price to").fill("12")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="Clear filters").click()

    assert page.url.endswith("/tickets?sort=price_asc") and not page.get_by_text("Filter and sort").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_first_ticket_is_seen_on_a_phone_and_the_menu_does_not_scroll(visit, bo, several):  # noqa: F811
    page = visit(bo, viewport=PHONE)

    page.goto("/tickets?q=hamlet&category=stage&from=2030-01-01&sort=price_asc")

    box = page.locator(".ticket h2").first.bounding_box()
    assert box["y"] + box["height"] <= PHONE["height"]
    last = page.locator(".chips a").last.bounding_box()
    assert last["x"] + last["width"] <= PHONE["width"]
    assert not page.get_by_label("First day").is_visible()
    page.get_by_text("Filter and sort").click()
    assert page.get_by_label("First day").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    header = page.locator("header")
    assert header.evaluate("each => [each, ...each.querySelectorAll('*')].every((it) => it.scrollWidth <= innerWidth)")
    for name in ("Find tickets", "Selling", "Account", "Sign out"):
        right = header.get_by_text(name, exact=True).bounding_box()
        assert right["x"] >= 0 and right["x"] + right["width"] <= PHONE["width"]
