"""The languages of the pages: every text is translated, each visitor reads theirs, and memory keeps them apart."""

import re
from ast import BinOp, Call, Constant, JoinedStr, parse, unparse, walk
from functools import cache
from html.parser import HTMLParser

import pytest
from babel.messages.catalog import Catalog

from dev import screenshots, translations
from dev.translations import GATEWAY
from gateway import languages
from gateway.languages import LANGUAGES
from gateway.scripts import texts_of
from gateway.static_files import files

OTHERS = [language for language in LANGUAGES if language != "en"]
PLACES = re.compile(r"%\(\w+\)s|\{\w+\}|</?\w+[^>]*>")
"""Where values are put into a text, and its markup."""
WORD = re.compile(r"[^\W\d_]{2}")
OWN = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
GERMAN = {"Accept-Language": "de-CH,de;q=0.9,en;q=0.5"}

messages = cache(translations.extract)


@pytest.mark.lengthy  # to look through all sources takes a second
@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language):
    catalog = translations.read(language)

    assert translations.untranslated(catalog) == []
    assert {(each.id, each.context) for each in catalog} == {(each.id, each.context) for each in messages()}, (
        "run `make translations`, and translate what it names"
    )


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_values_and_the_markup_of_its_text(language):
    for message in translations.read(language):
        english = message.id[-1] if isinstance(message.id, tuple) else message.id
        for text in translations.strings(message) if english else ():
            assert sorted(PLACES.findall(text)) == sorted(PLACES.findall(english)), text
            assert not set('<>&"') & (set(PLACES.sub("", text)) - set(english)), text


@pytest.mark.lengthy
def test_scripts_say_everything_in_the_language_of_the_page():
    for name in (name for name in files() if name.endswith(".js")):
        assert set(texts_of(name)) <= {each.id for each in messages()}, name
        script = re.sub(r'\bsay\("[^"]*"\)', "", files()[name].decode())
        script = re.sub(r"(?m)(^|\s)//.*$|new Error\(`[^`]*`\)", "", script)

        assert not re.findall(r'["`][^"`\n]*[A-Z][a-z]+ [a-z][^"`\n]*["`]', script), name


class Visible(HTMLParser):
    """Collects what of a page a person sees or hears, and no gettext has marked."""

    SPOKEN = ("aria-label", "placeholder", "title", "alt", "data-busy")
    NOT_SAID = ("script", "style", "time", "bdi", "code")
    EMPTY = ("input", "meta", "link", "br", "hr", "path", "use", "rect")

    def __init__(self, known):
        super().__init__()
        self.known, self.depth, self.stack, self.unmarked = known, 0, [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        is_foreign = tag in self.NOT_SAID or attrs.get("lang") == "en" or attrs.get("class") == "who"
        is_foreign |= "data-zone" in attrs  # which Babel names
        if not any(self.stack):
            for name in self.SPOKEN if not is_foreign else ():
                self._look(attrs.get(name) or "", f"{tag} {name}")
            if tag == "meta" and (attrs.get("name"), attrs.get("property")) != (None, "og:site_name"):
                is_said = attrs.get("name") == "description" or attrs.get("property") in ("og:title", "og:description")
                self._look(attrs.get("content", "") if is_said else "", "meta")
        if tag not in self.EMPTY:
            self.stack.append(is_foreign)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.stack.pop()

    def handle_endtag(self, tag):
        self.stack.pop()

    def handle_data(self, data):
        outside = self._outside(data)
        if not any(self.stack):
            self._look(outside, "text")

    def _outside(self, text):
        """Return what is outside of the marks, which may begin in one text and end in another."""
        found = []
        for letter in text:
            if letter == "⟦":
                self.depth += 1
            elif letter == "⟧":
                self.depth -= 1
            elif not self.depth:
                found.append(letter)
        return "".join(found)

    def _look(self, text, where):
        while text != (text := re.sub(r"⟦[^⟦⟧]*⟧", "", text)):
            pass
        if not WORD.search(text):
            return
        for name in self.known:
            text = text.replace(name, "")
        text = re.sub(r"\w+\.? \d{1,2} \w+\.? \d{4}", "", text)  # a date
        if WORD.search(text):
            self.unmarked.append(f"{where}: {text.strip()}")


@pytest.fixture
def marked(monkeypatch, tmp_path):
    """Return a language in which everything that is said through gettext is ⟦marked⟧."""
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    monkeypatch.setattr(translations, "FOLDER", tmp_path)
    monkeypatch.setitem(LANGUAGES, "fr", "Marked")
    catalog = Catalog(locale="fr")
    catalog.update(messages())
    for message in catalog:
        if message.id:
            texts = message.id if isinstance(message.id, tuple) else (message.id,)
            found = tuple(f"⟦{text}⟧" for text in texts)
            message.string = found if len(found) > 1 else found[0]
    translations.write(catalog, "fr")
    yield "fr"
    languages.catalogue.cache_clear()
    languages._asked_for.cache_clear()


@pytest.mark.lengthy  # these are all pages
def test_no_page_says_anything_past_gettext(marked, monkeypatch):
    monkeypatch.setattr(screenshots, "TICKETS", 24)
    site = screenshots.Site("http://127.0.0.1:12111")
    tickets = site.services.tickets.values()
    known = {ticket[name] for ticket in tickets for name in ("title", "venue", "city") if ticket[name]}
    known |= {part for text in site.app.extensions["texts"]["en"].values() for part in (text.title, text.summary)}
    known |= {"USD", "$US", "UTC", "American Express", "Mastercard", "Visa", "openapi.json", "Ticketing"}
    known |= {"nothing at all", "hamelt", "Donau", *LANGUAGES.values(), *screenshots.LONG["seat"].values()}
    known |= {screenshots.LONG[name] for name in ("title", "venue", "city")}
    found = {}
    for name, who, path, _act in screenshots.pages(site):
        shown = (who or site.app.test_client()).get(path, headers={"Accept-Language": marked})
        parser = Visible(sorted(known, key=len, reverse=True))
        parser.feed(shown.text)
        assert parser.depth == 0, name
        if parser.unmarked:
            found[name] = parser.unmarked

    assert found == {}


@pytest.mark.lengthy  # these are all sources
def test_nothing_is_flashed_past_gettext():
    calls = [
        node for path in GATEWAY.rglob("*.py") if "tests" not in path.parts for node in walk(parse(path.read_text()))
    ]
    flashed = [node.args[0] for node in calls if isinstance(node, Call) and getattr(node.func, "id", "") == "flash"]

    assert len(flashed) > 20 and not [
        unparse(text) for text in flashed if isinstance(text, Constant | JoinedStr | BinOp)
    ]


def test_a_visitor_reads_the_language_that_their_browser_asks_for(client):
    german, english = client.get("/", headers=GERMAN), client.get("/", headers={"Accept-Language": "fr, en;q=0.5"})

    assert '<html lang="de">' in german.text and "Jemand kann nicht. Sie schon." in german.text
    assert german.headers["Content-Language"] == "de" and {"Accept-Language", "Cookie"} <= set(german.vary)
    assert '<html lang="en">' in english.text and '<html lang="en">' in client.get("/").text


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("de-AT, en;q=0.5", "de"),
        ("en-GB, de;q=0.5", "en"),
        ("fr, de-CH;q=0.4, en-US;q=0.2", "de"),
        ("fr, *;q=0.1", "en"),
        ("en;q=0, *", "de"),
        ("de;q=0", "en"),
        ("de;q=much", "en"),
    ],
)
def test_visitors_read_the_first_language_that_they_ask_for_in_whichever_variant(client, asked, language):
    assert client.get("/", headers={"Accept-Language": asked}).headers["Content-Language"] == language


def test_a_header_that_names_thousands_of_languages_costs_no_more_than_its_first_ones(client):
    asked = "de-AT," + "fr," * 2500

    assert client.get("/", headers={"Accept-Language": asked}).headers["Content-Language"] == "de"
    assert len(languages.accepted(asked)) == languages.MOST_ACCEPTED


def test_a_chosen_language_is_remembered_and_leads_back(client):
    answer = client.post("/language", data={"language": "de", "back": "/signin?next=/sell"}, headers=OWN)

    assert (answer.status_code, answer.location) == (303, "/signin?next=/sell")
    assert "Anmelden" in client.get("/signin", headers={"Accept-Language": "en"}).text
    assert client.post("/language", data={"language": "xx"}, headers=OWN).status_code == 303
    assert '<html lang="de">' in client.get("/signin").text


def test_memory_keeps_the_languages_of_a_page_apart(client, ticket):
    path = f"/tickets/{ticket['id']}"
    client.application.extensions["public_reads"].memory.start_listening()
    for _ in range(2):
        assert "Tickets finden" in client.get(path, headers=GERMAN).text
        assert "Find tickets" in client.get(path).text
        client.set_cookie(languages.COOKIE, "de")
        assert "Tickets finden" in client.get(path).text
        client.delete_cookie(languages.COOKIE)
    client.application.extensions["public_reads"].memory.stop_listening()


def test_what_services_and_scripts_say_is_said_in_german(bo, client):
    client.set_cookie(languages.COOKIE, "de")
    problems = client.submit("/signup", email="bo@example.com", password="short").text

    assert "Wählen Sie ein Passwort mit 8 bis 64 Zeichen." in problems
    assert "&#34;Hide&#34;: &#34;Verbergen&#34;" in problems


def test_an_example_of_a_price_has_the_comma_of_its_reader(client):
    page = client.get("/tickets?min_price=cheap", headers={"Accept-Language": "de"}).text

    assert "Geben Sie den niedrigsten Preis so ein: 19,99." in page


def test_the_api_speaks_english(client):
    answer = client.post("/api/users/signin", json={}, headers=GERMAN)

    assert answer.json["errors"][0]["message"] == "Enter your email address."
