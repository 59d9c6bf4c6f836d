"""What users typed is isolated from the English around it, so that Arabic or Hebrew moves neither prices nor dates."""

from html.parser import HTMLParser

import pytest

TITLE, VENUE = "הופעה (שורה 3)", "תיאטרון"
DETAILS = {"title": TITLE, "venue": VENUE, "category": "stage", "price": "20"}
PLAIN = ("title", "head")


class UserText(HTMLParser):
    """Finds the typed text of a page, and what of it is in no `bdi` and no `dir=auto`."""

    def __init__(self, *typed):
        super().__init__()
        self.typed, self.open = typed, []
        self.found, self.bare = [], []

    def handle_starttag(self, tag, attrs):
        is_isolated = tag in ("bdi", *PLAIN) or dict(attrs).get("dir") == "auto"
        if tag == "input":
            self._note(dict(attrs).get("value") or "", is_isolated or ("type", "hidden") in attrs)
        elif tag not in ("meta", "link", "br", "hr"):
            self.open.append((tag, is_isolated))

    def handle_endtag(self, tag):
        while self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        self._note(data, any(is_isolated for _, is_isolated in self.open))

    def _note(self, text, is_isolated):
        if any(typed in text for typed in self.typed):
            (self.found if is_isolated else self.bare).append(text)


def check_isolated(answer, *typed):
    parser = UserText(*typed)
    parser.feed(answer.text)
    assert parser.found and parser.bare == []


@pytest.fixture
def page(ana):
    return ana.submit("/sell", **DETAILS).headers["Location"]


@pytest.mark.parametrize("path", ["/", "/tickets?q=הופעה", "/selling", "{page}", "{page}/edit"])
def test_title_and_venue_are_isolated_on_pages_of_tickets(ana, page, path):
    check_isolated(ana.get(path.format(page=page)), TITLE, VENUE)


def test_title_and_venue_are_isolated_on_pages_of_orders(bo, page):
    order = bo.submit(page, f"{page}/buy").headers["Location"]
    waiting = [bo.get(order), bo.get("/my/tickets"), bo.get(page)]
    bo.submit(order, f"{order}/pay", token="tok_visa")

    for answer in (*waiting, bo.get(order)):
        check_isolated(answer, TITLE)


def test_what_another_tab_stored_is_isolated_in_the_error(ana, page):
    edit = f"{page}/edit"
    ana.submit(edit, **DETAILS | {"title": "Another"})
    ana.submit(edit, **DETAILS)
    older = ana.submit(edit, **DETAILS | {"title": "Mine", "version": "1"})

    assert older.status_code == 409
    check_isolated(older, TITLE)


def test_rejected_input_is_isolated(ana):
    check_isolated(ana.submit("/sell", **DETAILS | {"price": "0"}), TITLE, VENUE)


def test_email_of_the_user_is_isolated(ana):
    check_isolated(ana.get("/"), "ana@example.com")
