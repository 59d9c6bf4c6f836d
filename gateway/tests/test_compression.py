"""What is compressed, and what in it must not be guessed from sizes."""

import gzip
import re

import pytest

from gateway.static_files import asset


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
def test_page_is_compressed_as_the_browser_asks(client, coding):
    plain = client.get("/")
    packed = client.get("/", headers={"Accept-Encoding": coding})

    assert packed.headers["Content-Encoding"] == coding
    assert len(packed.data) < len(plain.data) / 2
    assert "Accept-Encoding" in packed.headers["Vary"]


@pytest.mark.parametrize(
    ("asked", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("zstd;q=0, *", "br"),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("deflate", None),
        ("gzip;q=much", None),
    ],
)
def test_page_is_never_compressed_in_a_way_that_the_client_refuses(client, asked, coding):
    page = client.get("/", headers={"Accept-Encoding": asked})

    assert page.headers.get("Content-Encoding") == coding
    assert "Accept-Encoding" in page.headers["Vary"]


def test_a_form_with_problems_and_an_error_page_are_compressed_too(ana):
    coding = {"Accept-Encoding": "gzip"}
    form, missing = ana.get("/tickets?min_price=cheap", headers=coding), ana.get("/nowhere", headers=coding)

    assert (form.status_code, missing.status_code) == (400, 404)
    for page in (form, missing):
        assert b"</html>" in gzip.decompress(page.data)


def test_stylesheet_is_compressed_and_a_font_is_not(client):
    style = client.get(asset("style.css"), headers={"Accept-Encoding": "gzip"})
    font = client.get(asset("fonts/bricolage-grotesque-latin.woff2"), headers={"Accept-Encoding": "gzip"})

    assert b"--paper" in gzip.decompress(style.data)
    assert "Content-Encoding" not in font.headers


def test_etag_of_a_ticket_is_the_same_however_it_is_sent(ana, client):
    ticket = ana.post("/api/tickets", json={"title": "x" * 200, "venue": "y" * 200, "price": 5}).json

    for coding in ("", "gzip", "br"):
        answer = client.get(f"/api/tickets/{ticket['id']}", headers={"Accept-Encoding": coding})
        assert answer.headers["ETag"] == '"1"'


def test_no_secret_is_the_same_in_two_pages(ana):
    tokens = [re.findall(r'name="csrf_token" value="([^"]+)"', ana.get("/account").text) for _ in range(2)]

    assert len({*tokens[0], *tokens[1]}) == len(tokens[0]) + len(tokens[1])
    with ana.session_transaction() as session:
        assert session["csrf"] not in ana.get("/account").text


@pytest.mark.parametrize("token", ["", "x", "====", "é", "AAAA"])
def test_malformed_token_is_refused(ana, token):
    assert ana.post("/account/password", data={"csrf_token": token}).status_code == 403


def test_token_of_the_session_itself_is_refused(ana):
    ana.get("/account")
    with ana.session_transaction() as session:
        token = session["csrf"]

    assert ana.post("/account/password", data={"csrf_token": token}).status_code == 403
