"""The texts that an operator edits."""

import re

import pytest

from gateway.app import create_app
from gateway.tests.fakes import SETTINGS, FakeServices
from gateway.texts import FOLDER, read_texts
from libs.settings import MissingSetting

TAGS = re.compile(r"<\w+")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fees.md").write_text("# What it costs\n\nTen *percent*.\n")
    (tmp_path / "imprint.md").write_text("# Imprint\n\nAna Ltd\n")
    return tmp_path


@pytest.fixture
def client(folder):
    services = FakeServices()
    return create_app(services, SETTINGS | {"GATEWAY_TEXTS": str(folder)}, services.revocations()).test_client()


def test_operators_text_replaces_ours_and_another_is_another_page(client):
    fees, home = client.get("/about/fees").text, client.get("/").text

    assert "<title>What it costs" in fees and "Ten <em>percent</em>." in fees
    assert ">What it costs</a>" in home and ">Imprint</a>" in home and ">Privacy</a>" in home


def test_text_without_a_file_is_not_found(client):
    assert client.get("/about/../settings").status_code == 404
    assert client.get("/about/nothing").status_code == 404


def test_markup_and_scripts_in_a_text_do_nothing(folder, client):
    (folder / "fees.md").write_text("# Fees\n\n<script>alert(1)</script> [here](javascript:alert(2))\n")

    page = read_texts(folder)["en"]["fees"].html

    assert "<script>" not in page and "href" not in page


@pytest.mark.parametrize("content", ["No heading.", "", "## Too deep\n"])
def test_text_without_a_title_stops_the_start(tmp_path, content):
    (tmp_path / "fees.md").write_text(content)

    with pytest.raises(MissingSetting, match="GATEWAY_TEXTS"):
        create_app(FakeServices(), SETTINGS | {"GATEWAY_TEXTS": str(tmp_path)})


def test_folder_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(MissingSetting, match="GATEWAY_TEXTS"):
        create_app(FakeServices(), SETTINGS | {"GATEWAY_TEXTS": str(tmp_path / "none")})


def test_links_between_our_texts_lead_somewhere():
    for texts in read_texts(FOLDER).values():
        for name, text in texts.items():
            targets = re.findall(r'href="([^":]+)"', text.html)
            assert [target for target in targets if target not in texts] == [], name


def test_each_of_our_texts_is_there_in_each_language():
    for language, texts in read_texts(FOLDER).items():
        assert {text.language for text in texts.values()} == {language}


def test_our_texts_are_built_alike_in_each_language():
    english, *others = read_texts(FOLDER).values()
    for texts in others:
        for name, text in texts.items():
            assert TAGS.findall(text.html) == TAGS.findall(english[name].html), name


def test_what_others_show_of_a_text_is_its_first_paragraph_and_no_heading(folder):
    (folder / "fees.md").write_text("# Fees\n\n## Buying\n\nNothing is *added*.\n\nNor taken off.\n")

    assert read_texts(folder)["en"]["fees"].summary == "Nothing is added."


def test_texts_are_listed_as_one_comes_to_need_them_and_operators_own_last(client):
    names = re.findall(r'href="/about/([\w-]+)"', client.get("/about/help").text.partition("<article")[0])

    assert names == ["how-it-works", "handover", "help", "fees", "guarantee", "owed", "contact", "privacy", "imprint"]


def test_a_reader_of_german_reads_the_operators_german_and_else_the_operators_english(folder, client):
    (folder / "de").mkdir()
    (folder / "de" / "imprint.md").write_text("# Impressum\n\nAna GmbH\n")
    texts = read_texts(folder)["de"]

    assert (texts["imprint"].title, texts["imprint"].language) == ("Impressum", "de")
    assert (texts["fees"].title, texts["fees"].language) == (
        "What it costs",
        "en",
    )  # ours in German says something else
    assert (texts["privacy"].title, texts["privacy"].language) == ("Datenschutz", "de")
    fees = client.get("/about/fees", headers={"Accept-Language": "de"}).text
    assert '<article class="panel prose" lang="en">' in fees and ">Datenschutz</a>" in fees


def test_a_long_text_leads_to_its_parts(folder, client):
    page = client.get("/about/help").text
    headings = dict(re.findall(r'<h2 id="(part-\d)">([^<]+)</h2>', page))

    assert [*headings.values()] == ["Buying", "Selling", "Your account"]
    assert dict(re.findall('<a href="#(part-[^"]+)">([^<]+)</a>', page)) == headings


def test_every_text_says_how_one_goes_on(client):
    for name in read_texts(FOLDER)["en"]:
        after = client.get(f"/about/{name}").text.partition("</article>")[2].partition("</main>")[0]
        assert ('href="/about/contact"' in after) == (name != "contact"), name


def test_help_says_what_one_does_who_forgot_the_password():
    """The sign-in page says that help has the answer."""
    assert "forgot my password" in read_texts(FOLDER)["en"]["help"].html


def test_our_texts_say_how_a_ticket_gets_to_its_buyer():
    for texts in read_texts(FOLDER).values():
        assert all('href="handover"' in texts[name].html for name in ("how-it-works", "help", "guarantee"))
