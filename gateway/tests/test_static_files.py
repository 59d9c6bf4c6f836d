"""Our static files and how long browsers keep them."""

import re
from pathlib import Path

import pytest

from gateway.static_files import asset, files


def test_file_is_kept_for_a_year_by_everybody_alike(client, ana):
    for browser in (client, ana):
        headers = browser.get(asset("style.css")).headers
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Cookie" not in headers.get("Vary", "") and "Set-Cookie" not in headers


def test_file_at_an_address_of_another_version_is_not_kept(client):
    answer = client.get("/static/before/style.css")

    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["nothing.css", "../app.py", "%2e%2e/app.py", "fonts"])
def test_nothing_but_our_files_is_served(client, name):
    assert client.get(f"/static/v/{name}").status_code == 404


def test_template_that_names_a_missing_file_fails():
    with pytest.raises(FileNotFoundError):
        asset("nothing.css")


def test_every_file_that_a_stylesheet_or_the_manifest_names_exists():
    named = re.findall(r'url\("([^"]+)"\)', files()["style.css"].decode())
    named += re.findall(r'"src": "([^"]+)"', files()["site.webmanifest"].decode())

    assert len(named) > 4 and set(named) <= files().keys()


def test_font_comes_with_its_licence(client):
    font = client.get(asset("fonts/bricolage-grotesque-latin.woff2"))

    assert font.mimetype == "font/woff2"
    assert "SIL Open Font License" in client.get(asset("fonts/OFL.txt")).text


def test_every_icon_that_a_page_names_is_drawn():
    drawn = set(re.findall(r'<symbol id="([^"]+)"', files()["icons.svg"].decode()))
    templates = Path(__file__).parents[1] / "templates"
    named = {name for path in templates.rglob("*.html") for name in re.findall(r"icon\('(\w+)'\)", path.read_text())}

    assert named and named <= drawn
