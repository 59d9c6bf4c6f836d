"""The home page, and the theme that is remembered."""

import re
from html import unescape

import pytest

OWN = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


def titles(page, section):
    """Return the titles of the tickets in one section of the home page."""
    found = re.search(rf'aria-labelledby="{section}">(.*?)</section>', page, re.DOTALL)
    return re.findall(r"<bdi>([^<]+)</bdi></a></h3>", found[1]) if found else []


def test_home_page_shows_what_starts_soonest_and_what_is_new(ana, client):
    for title, starts in (("Later", "2031-02-01T20:00Z"), ("Sooner", "2031-01-01T20:00Z"), ("Any day", None)):
        ana.post("/api/tickets", json={"title": title, "price": 5, "startsAt": starts})

    page = client.get("/").text

    assert titles(page, "soonest") == ["Sooner", "Later"]
    assert titles(page, "newest") == ["Any day", "Sooner", "Later"]


def test_home_page_without_tickets_invites_to_sell(client):
    assert "No ticket is on sale right now" in client.get("/").text


def test_search_from_before_there_was_a_home_page_still_works(client):
    assert client.get("/?q=a+b&sort=price_asc").headers["Location"] == "/tickets?q=a+b&sort=price_asc"
    assert client.get("/?utm_source=letter").status_code == 200


def test_chosen_theme_is_remembered_and_leads_back_to_the_page(client):
    chosen = client.post("/theme", data={"theme": "dark", "back": "/tickets?q=hamlet"}, headers=OWN)

    assert (chosen.status_code, chosen.headers["Location"]) == (303, "/tickets?q=hamlet")
    assert '<html lang="en" data-theme="dark">' in client.get("/").text


@pytest.mark.parametrize(
    "address",
    ["/tickets?q=%C3%A9&sort=price_asc", "/caf%C3%A9", "/a%3Fb%23c%25d", "/%5Cevil.example/", "/%09/evil.example?a=b"],
)
def test_theme_leads_back_to_the_very_address_it_was_chosen_at(client, address):
    back = re.search('name="back" type="hidden" value="([^"]+)"', client.get(address).text)[1]

    chosen = client.post("/theme", data={"theme": "dark", "back": unescape(back)}, headers=OWN)

    assert chosen.headers["Location"] == unescape(back) == address


def test_theme_is_that_of_the_system_until_one_is_chosen(client):
    assert '<html lang="en">' in client.get("/").text
    assert "Set-Cookie" not in client.get("/").headers


@pytest.mark.parametrize("theme", ["", "pink", '"><script>'])
def test_unknown_theme_is_not_remembered(client, theme):
    client.post("/theme", data={"theme": theme}, headers=OWN)

    assert '<html lang="en">' in client.get("/").text


def test_no_other_site_changes_the_theme_or_leads_away_by_it(client):
    foreign = client.post("/theme", data={"theme": "dark"}, headers={"Origin": "https://evil.example"})
    away = client.post("/theme", data={"theme": "dark", "back": "//evil.example"}, headers=OWN)

    assert foreign.status_code == 403
    assert away.headers["Location"] == "/"
