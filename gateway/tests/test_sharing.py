"""What other sites show of our pages."""

import html
import json
import re

import pytest

from gateway.tests.conftest import create_test_app

URL = "https://tickets.example"
HAMLET = {"title": 'Hamlet "</script>" & co, row 3', "price": 19.5, "category": "stage"}


@pytest.fixture
def app(services, revocations):
    return create_test_app(services, revocations, PUBLIC_URL=URL)


def described(page):
    """Return the linked data of a page, and what its tags say by name."""
    tags = re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)"', page)
    data = re.search(r'<script type="application/ld\+json">(.*?)</script>', page, re.DOTALL)
    return (json.loads(data[1]) if data else None), {name: html.unescape(content) for name, content in tags}


def test_ticket_is_an_event_with_an_offer(ana, client):
    ticket = ana.post("/api/tickets", json=HAMLET | {"venue": "Globe", "startsAt": "2031-01-01T20:00Z"}).json
    path = f"/tickets/{ticket['id']}"
    page = client.get(path).text

    data, tags = described(page)

    assert (data["@type"], data["name"]) == ("TheaterEvent", HAMLET["title"])
    assert (data["startDate"], data["location"]["name"]) == ("2031-01-01T20:00:00+00:00", "Globe")
    assert (data["offers"]["price"], data["offers"]["priceCurrency"]) == ("19.50", "USD")
    assert data["offers"]["availability"] == "https://schema.org/InStock"
    assert tags["og:url"] == f"{URL}{path}" and f'<link rel="canonical" href="{URL}{path}">' in page
    assert tags["description"] == f"{HAMLET['title']}. Wed, 1 Jan 2031, 20:00 UTC, Globe. $19.50 USD, all in."
    assert client.get(tags["og:image"].removeprefix(URL)).mimetype == "image/png"
    assert "robots" not in tags


@pytest.mark.parametrize("title", ["Who's Afraid of Virginia Woolf?", "Help!", "Whatever…", "feat. Bo & co."])
def test_a_title_with_an_end_of_its_own_gets_no_second_one(ana, client, title):
    ticket = ana.post("/api/tickets", json=HAMLET | {"title": title}).json

    _, tags = described(client.get(f"/tickets/{ticket['id']}").text)

    assert tags["description"] == f"{title} $19.50 USD, all in."


def test_ticket_for_any_day_is_a_product(ana, client):
    ticket = ana.post("/api/tickets", json=HAMLET).json

    assert described(client.get(f"/tickets/{ticket['id']}").text)[0]["@type"] == "Product"


@pytest.mark.parametrize(("status", "availability"), [("sold", "SoldOut"), ("withdrawn", "Discontinued")])
def test_what_cannot_be_bought_is_not_indexed(client, ticket, services, status, availability):
    services.tickets[ticket["id"]]["status"] = status

    data, tags = described(client.get(f"/tickets/{ticket['id']}").text)

    assert data["offers"]["availability"] == f"https://schema.org/{availability}"
    assert tags["robots"] == "noindex, follow" and "No longer on sale." in tags["description"]


@pytest.mark.parametrize(
    "path", ["/tickets?q=hamlet", "/tickets?sort=price_asc", "/tickets?category=stage&min_price=3"]
)
def test_searches_are_not_indexed_but_belong_to_their_list(client, path):
    page = client.get(path).text

    assert described(page)[1]["robots"] == "noindex, follow"
    assert (
        f'rel="canonical" href="{URL}/tickets' in page and "hamlet" not in re.search('canonical" href="[^"]+', page)[0]
    )


def test_category_is_indexed_under_its_own_address(client):
    page = client.get("/tickets?category=stage").text

    assert f'rel="canonical" href="{URL}/tickets?category=stage"' in page and "robots" not in described(page)[1]


@pytest.mark.parametrize("path", ["/signin", "/sell", "/selling", "/my/tickets", "/account", "/nowhere"])
def test_private_pages_and_errors_are_not_indexed(ana, path):
    assert described(ana.get(path, follow_redirects=True).text)[1].get("robots", "noindex") == "noindex"


def test_other_sites_may_show_the_picture_of_a_link_and_our_icon_but_load_no_page(ana, client):
    ticket = ana.post("/api/tickets", json=HAMLET).json
    path = f"/tickets/{ticket['id']}"
    picture = described(client.get(path).text)[1]["og:image"].removeprefix(URL)
    paths = [picture, "/favicon.ico", client.get("/favicon.ico").headers["Location"], path, f"/api{path}"]

    policies = [client.get(each).headers["Cross-Origin-Resource-Policy"] for each in paths]

    assert policies == ["cross-origin"] * 3 + ["same-origin"] * 2
