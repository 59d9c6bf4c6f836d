"""What search engines find."""

import re

import pytest

from gateway.tests.conftest import create_test_app

URL = "https://tickets.example"


@pytest.fixture
def client(services, revocations):
    return create_test_app(services, revocations, PUBLIC_URL=URL).test_client()


def locations(answer):
    return re.findall("<loc>([^<]+)</loc>", answer.text)


def test_robots_are_kept_from_private_pages_and_led_to_the_site_map(client):
    text = client.get("/robots.txt").text

    assert "Disallow: /my/\n" in text and "Disallow: /orders/\n" in text and "Disallow: /tickets" not in text
    assert f"Sitemap: {URL}/sitemap.xml\n" in text


def test_site_map_leads_to_every_page_and_every_ticket_on_sale(client, ana, ticket, services):
    services.tickets["sold"] = {**services.tickets[ticket["id"]], "id": "sold", "status": "sold"}
    found = set()

    for part in locations(client.get("/sitemap.xml")):
        found |= set(locations(client.get(part.removeprefix(URL))))

    assert {f"{URL}/", f"{URL}/tickets", f"{URL}/tickets?category=stage", f"{URL}/about/help"} <= found
    assert f"{URL}/tickets/{ticket['id']}" in found and f"{URL}/tickets/sold" not in found
    for path in found:
        assert client.get(path.removeprefix(URL)).status_code == 200


def test_site_map_goes_on_after_the_last_ticket_of_a_page(client, services):
    services.tickets_site_map_pages = lambda _: ["a" * 24, "b" * 24]

    parts = locations(client.get("/sitemap.xml"))

    assert parts[-2:] == [f"{URL}/sitemap/tickets-{'a' * 24}.xml", f"{URL}/sitemap/tickets-{'b' * 24}.xml"]
    assert client.get(f"/sitemap/tickets-{'a' * 24}.xml").status_code == 200
    assert ("tickets.site_map", {"after": "a" * 24}) in services.calls


@pytest.mark.parametrize("path", ["/robots.txt", "/sitemap.xml", "/sitemap/pages.xml", "/favicon.ico"])
def test_what_is_the_same_for_everybody_may_be_kept(client, path):
    headers = client.get(path).headers

    assert headers["Cache-Control"].startswith("public, max-age=") and "Cookie" not in headers.get("Vary", "")


def test_icon_is_where_browsers_look_for_it(client):
    icon = client.get("/favicon.ico", follow_redirects=True)

    assert icon.data.startswith(b"\0\0\1\0") and b"PNG" in icon.data
