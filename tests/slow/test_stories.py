"""How a ticket is sold and bought in Chromium: on a desk and a phone, in light and dark, in each language."""

from itertools import product

import pytest

from dev import screenshots
from gateway.languages import LANGUAGES, catalogue

PRICE = {"en": "$19.99", "de": "19,99\xa0$"}
CITIES = {"en": ("Tokyo", "Cairo"), "de": ("Tokio", "Kairo")}
START = {
    "en": "Fri, 31 Jan 2031, 20:00 (Sat\xa003:00\xa0your\xa0time)",
    "de": "Fr., 31. Jan. 2031, 20:00\xa0Uhr (Sa.\xa003:00\xa0Uhr\xa0bei\xa0Ihnen)",
}
"""Of a start in Cairo, to readers in Tokyo."""


@pytest.fixture(scope="module")
def site():
    """A site with only a few tickets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screenshots, "TICKETS", 12)
        with screenshots.served() as (_, url):
            yield url


class Person:
    """Somebody at a browser; every page that they see fits the window and has their language and theme."""

    def __init__(self, browser, url, width, theme, language):
        size = {"width": width, "height": screenshots.WIDTHS[width]}
        self._seen = (language, str(int(theme == "dark")), True)
        self._said = catalogue(language)
        options = {"viewport": size, "color_scheme": theme, "locale": language, "timezone_id": "Asia/Tokyo"}
        self.context = browser.new_context(base_url=url, **options)
        self.page = self.context.new_page()

    def field(self, label, **values):
        return self.page.get_by_label(self._said.gettext(label) % values, exact=True)

    def press(self, text, **values):
        name = self._said.gettext(text) % values
        self.page.locator("main").get_by_role("button", name=name, exact=True).click()

    def reads(self, text, role="heading"):
        self.page.get_by_role(role, name=self._said.gettext(text)).first.wait_for()
        seen = """() => { const { documentElement: html } = document;
          const isDark = getComputedStyle(html).getPropertyValue("--is-dark").trim() || "0";
          return [html.lang, isDark, html.scrollWidth <= innerWidth]; }"""
        assert tuple(self.page.evaluate(seen)) == self._seen, text

    def sign_up(self, name):
        self.page.goto("/signup")
        self.field("Email").fill(f"{name}@example.org")
        self.field("Password").fill(f"{name} and a word")
        self.press("Sign up")
        self.page.wait_for_url(lambda url: "signup" not in url)


@pytest.mark.parametrize(
    ("width", "theme", "language"), list(product(screenshots.WIDTHS, screenshots.THEMES, LANGUAGES))
)
def test_a_ticket_is_listed_found_reserved_paid_and_kept(browser, site, width, theme, language):
    word = f"Sturm{width}{theme}{language}"
    ana, bo = (Person(browser, site, width, theme, language) for _ in range(2))
    ana.sign_up(f"ana{word}")
    ana.page.goto("/sell")
    ana.reads("Sell a ticket")
    ana.field("Event").fill(f"{word} im Wasserglas")
    assert ana.field("Time zone of the venue").input_value() == CITIES[language][0]
    ana.field("City (optional)").fill(CITIES[language][1])
    ana.field("Starts at (optional)").fill("2031-01-31T20:00")
    assert ana.field("Time zone of the venue").input_value() == CITIES[language][1]
    ana.field("Price (%(currency)s)", currency="USD").fill("19.99")
    ana.press("Put on sale")
    ana.reads(f"{word} im Wasserglas")

    bo.sign_up(f"bo{word}")
    bo.page.goto("/")
    bo.page.locator("#q").fill(word)
    bo.page.locator("#q").press("Enter")
    bo.reads("Tickets on sale")
    bo.page.get_by_role("link", name=f"{word} im Wasserglas").click()
    assert bo.page.locator(".large time").inner_text() == START[language]
    bo.press("Buy for %(amount)s", amount=PRICE[language])
    bo.reads("Pay for your ticket")
    assert "UTC" not in bo.page.locator(".paybar").text_content()
    bo.page.locator("[data-test-cards] summary").click()
    bo.page.locator("[value=tok_visa]").check()
    bo.press("Pay %(amount)s", amount=PRICE[language])
    bo.reads("The ticket is yours")
    bo.page.goto("/my/tickets")
    bo.reads("My tickets")
    bo.reads(f"{word} im Wasserglas", "link")
    ana.page.goto("/selling")
    ana.reads("Selling")

    assert PRICE[language] in ana.page.locator(".owed").inner_text()
    for person in (ana, bo):
        person.context.close()
