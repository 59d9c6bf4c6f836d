"""How pages look and behave in Chromium. TICKETING_SEARCH=deep looks at every page and state."""

import os
import re
from datetime import datetime
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe

from dev import screenshots
from dev.testing import ROOT
from gateway.languages import LANGUAGES
from gateway.tests.browsing import url, visit  # noqa: F401 - fixtures

IS_DEEP = os.environ.get("TICKETING_SEARCH") == "deep"
LOOKED_AT = "" if IS_DEEP else ("home", "ticket-buyer", "order-declined")
MOST, MOST_SHIFT = (14_000, 150_000, 12), 0.02
"""Of the page alone what comes in one round trip, of all that it loads, and of requests."""
LOAD = """() => {
  const loaded = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .filter((each) => each.initiatorType !== "fetch");
  const ours = loaded.map((each) => each.encodedBodySize);
  return [ours[0], ours.reduce((one, other) => one + other), ours.filter((size) => size > 0).length];
}"""
"""Bytes of the page alone and of all that it loads from us, compressed, and in how many requests.

What a script asks for afterwards, to follow an order, is not counted.
"""
IS_SQUEEZED = "(h) => h.offsetWidth < 200 && h.offsetHeight > 1.8 * parseFloat(getComputedStyle(h).lineHeight)"
COLOURS = "(element) => [getComputedStyle(element).color, getComputedStyle(element).backgroundColor]"
VARIABLES = """(names) => names.map((name) => {
  const probe = document.body.appendChild(document.createElement("p"));
  Object.assign(probe.style, { color: `var(${name})`, boxShadow: `var(${name})` });
  const { color, boxShadow } = getComputedStyle(probe);
  return [name, name === "--lift" ? boxShadow : color];
})"""
SHIFT = """() => new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((each) => (sum += each.hadRecentInput ? 0 : each.value)))
    .observe({ type: "layout-shift", buffered: true });
  document.fonts.ready.then(() => requestAnimationFrame(() => requestAnimationFrame(() => resolve(sum))));
})"""


@pytest.mark.parametrize(
    ("theme", "language"),
    list(product(screenshots.THEMES, LANGUAGES) if IS_DEEP else zip(screenshots.THEMES, LANGUAGES, strict=True)),
)
def test_page_has_no_barrier_that_axe_knows_fits_a_phone_is_light_and_does_not_move(browser, theme, language):
    found, looked_at = {}, 0
    with screenshots.served() as (site, address):
        for name, who, path, act in screenshots.pages(site):
            if name.startswith(LOOKED_AT):
                looked_at += 1
                options = {"bypass_csp": True, "locale": language}
                with screenshots.shown(browser, address, who, path, act, 390, theme, **options) as page:
                    moved, load = page.evaluate(SHIFT), page.evaluate(LOAD)
                    report = Axe().run(page).response["violations"]
                    wider = page.evaluate("document.documentElement.scrollWidth > innerWidth")
                    squeezed = page.locator("h1").evaluate(IS_SQUEEZED)
                said = [*(each["id"] for each in report), *["too wide"] * wider, *["squeezed"] * squeezed]
                is_light = all(size <= most for size, most in zip(load, MOST, strict=True))
                if said := [*said, *([] if is_light else [load]), *[moved] * (moved >= MOST_SHIFT)]:
                    found[name] = said
            if not IS_DEEP and looked_at == len(LOOKED_AT):
                break

    assert found == {} and looked_at >= 3


def test_a_full_list_is_light_and_says_the_readers_own_time_without_moving(ana, visit):  # noqa: F811
    zones = ("Asia/Tokyo", "Asia/Seoul", "Europe/Berlin")
    for number in range(30):
        start = {"startsAt": "2031-01-01T19:00:00Z", "timeZone": zones[number % 3]}
        ana.post("/api/tickets", json={"title": f"Hamlet {number}", "price": 20, "category": "stage", **start})
    page = visit(ana, viewport={"width": 390, "height": 844}, timezone_id="Asia/Tokyo")

    page.goto("/tickets", wait_until="networkidle")

    assert page.evaluate(SHIFT) < MOST_SHIFT
    assert page.locator(".ticket time").all_inner_texts()[:3] == [
        "Wed, 1 Jan 2031, 20:00 Berlin time (Thu\xa004:00\xa0your\xa0time)",
        "Thu, 2 Jan 2031, 04:00 Seoul time",
        "Thu, 2 Jan 2031, 04:00 Tokyo time",
    ]
    load = page.evaluate(LOAD)
    assert all(size <= most for size, most in zip(load, MOST, strict=True)), load


def test_theme_is_switched_without_a_script_and_remembered(browser, url, client):  # noqa: F811
    with browser.new_context(base_url=url, java_script_enabled=False, color_scheme="light") as context:
        page = context.new_page()
        page.goto("/tickets?q=hamlet")

        page.locator("header").get_by_role("button", name="Dark theme").click()

        assert page.url.endswith("/tickets?q=hamlet")
        assert page.locator("html[data-theme=dark]").count() == 1
        page.locator("header").get_by_role("button", name="Light theme").wait_for()


def test_browser_that_knows_no_light_dark_shows_every_light_colour_and_no_switch_of_themes(browser, url):  # noqa: F811
    style = (ROOT / "gateway" / "static" / "style.css").read_text()
    names = sorted(set(re.findall(r"(--[\w-]+): [^;]*light-dark", style)))
    old = {"body": style.replace("light-dark(", "of-2024("), "content_type": "text/css"}
    colours = []

    for theme in ("light", "dark"):
        with browser.new_context(base_url=url, color_scheme=theme) as context:
            page = context.new_page()
            if theme == "dark":
                page.route("**/style.css", lambda route: route.fulfill(**old))
            page.goto("/signin")
            colours.append(page.evaluate(VARIABLES, names))
            switches = page.locator(".theme:visible").count()

    assert colours[1] == colours[0] and len(names) > 20
    assert switches == 0


def test_password_can_be_looked_at(visit, ana):  # noqa: F811
    page = visit(ana)
    page.goto("/account")
    field = page.get_by_label("Current password", exact=True)

    page.get_by_role("button", name="Show current password").click()

    assert field.get_attribute("type") == "text"


@pytest.fixture
def stopped(visit, ana):  # noqa: F811
    """A page whose form gets no answer, as after the browser's Stop; `sent` counts how often it is sent."""
    page = visit(ana)
    page.clock.install()
    page.goto("/account")
    page.evaluate("""sent = 0; addEventListener("submit", (event) => {
      sent += !event.defaultPrevented;
      event.preventDefault();
    })""")
    return page


def test_button_that_sends_a_form_shows_it_and_the_one_that_shows_the_password_does_not(stopped):
    stopped.get_by_role("button", name="Change password").click()

    assert stopped.locator("main [aria-disabled]").all_inner_texts() == ["Change password"]


def test_form_can_be_sent_again_some_time_after_the_browsers_stop(stopped):
    button = stopped.get_by_role("button", name="Change password")

    button.dblclick()
    at_once = stopped.evaluate("sent")
    stopped.clock.run_for(25_000)
    button.click()

    assert (at_once, stopped.evaluate("sent")) == (1, 2)


def test_who_leaves_an_edited_form_is_asked_and_who_sends_it_is_not(visit, ana):  # noqa: F811
    page, asked = visit(ana), []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.goto("/sell")

    page.get_by_label("Event", exact=True).fill("Hamlet")
    page.get_by_role("link", name="Find tickets").first.click()
    page.wait_for_url("**/tickets")
    page.goto("/sell")
    page.get_by_label("Event", exact=True).fill("Hamlet")
    page.get_by_label("Price (USD)").fill("20")
    page.get_by_role("button", name="Put on sale").click()
    page.wait_for_url("**/tickets/*")

    assert asked == ["beforeunload"]


@pytest.mark.parametrize(("own", "proposed"), [("Europe/Paris", "Paris"), ("Etc/GMT+5", "Etc/GMT+5")])
def test_the_readers_zone_is_proposed_then_that_of_the_city_and_all_others_can_be_chosen(visit, ana, own, proposed):  # noqa: F811
    page = visit(ana, timezone_id=own)
    page.goto("/sell")
    zone = page.get_by_label("Time zone of the venue")

    assert zone.input_value() == proposed and zone.locator("option").count() > 400
    page.get_by_label("City (optional)").fill("tokyo")
    page.get_by_label("City (optional)").blur()
    assert zone.input_value() == "Tokyo"
    zone.select_option("Berlin")
    page.get_by_label("City (optional)").fill("Paris")
    page.get_by_label("City (optional)").blur()
    assert zone.input_value() == "Berlin"


def test_total_and_time_left_stay_in_sight_on_a_phone_while_one_pays(visit, bo, ticket):  # noqa: F811
    order = bo.submit(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/buy").headers["Location"]
    page = visit(bo, viewport={"width": 390, "height": 600})
    page.goto(order)
    page.locator(".left").wait_for()

    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")

    box = page.locator(".paybar").bounding_box()
    assert 0 <= box["y"] < 60 and "$19.99" in page.locator(".paybar").inner_text()


def test_a_deadline_is_on_the_clock_of_who_reads_it(visit, bo, ticket):  # noqa: F811
    order = bo.post("/api/orders", json={"ticketId": ticket["id"]}).json
    there = datetime.fromisoformat(order["expiresAt"]).astimezone(ZoneInfo("Asia/Tokyo"))
    page = visit(bo, timezone_id="Asia/Tokyo")

    page.goto(f"/orders/{order['id']}", wait_until="domcontentloaded")

    word = "today" if there.date() == datetime.now(there.tzinfo).date() else "tomorrow"
    assert page.locator(".deadline time").text_content() == f"{word} {there:%H:%M}"


def test_a_zone_that_the_browser_is_too_old_for_hides_no_other_time(ana, visit):  # noqa: F811
    for title, zone in (("Hamlet", "Europe/Berlin"), ("Macbeth", "Europe/Kyiv")):
        ticket = {"title": title, "price": 20, "startsAt": "2031-01-01T19:00:00Z", "timeZone": zone}
        ana.post("/api/tickets", json=ticket)
    page = visit(ana, timezone_id="Asia/Tokyo")
    page.add_init_script("""
        const Known = Intl.DateTimeFormat;
        Intl.DateTimeFormat = function (lang, options) {
          if (options?.timeZone === "Europe/Kyiv") throw new RangeError(options.timeZone);
          return new Known(lang, options);
        };
    """)

    page.goto("/tickets?sort=newest", wait_until="domcontentloaded")

    assert page.locator(".ticket time").all_inner_texts() == [
        "Wed, 1 Jan 2031, 21:00 Kyiv time",
        "Wed, 1 Jan 2031, 20:00 Berlin time (Thu\xa004:00\xa0your\xa0time)",
    ]


@pytest.mark.parametrize(
    ("zone", "city"), [("Asia/Kolkata", "Kolkata"), ("Europe/Kyiv", "Kyiv"), ("Asia/Tokyo", "Tokyo")]
)
def test_the_form_proposes_the_city_of_the_sellers_zone_though_browsers_use_its_old_name(visit, ana, zone, city):  # noqa: F811
    page = visit(ana, timezone_id=zone)

    page.goto("/sell", wait_until="domcontentloaded")

    assert page.get_by_label("Time zone of the venue").input_value() == city


def test_test_cards_are_folded_with_a_script_and_open_without(visit, bo, ticket):  # noqa: F811
    order = bo.submit(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/buy").headers["Location"]

    for has_script in (True, False):
        page = visit(bo, java_script_enabled=has_script)
        page.route("**/v3/", lambda route: None)
        page.goto(order, wait_until="domcontentloaded")
        assert page.get_by_label("Visa ending in 4242").is_visible() is not has_script


def test_a_row_leads_to_its_ticket_wherever_it_is_pressed(visit, ana, ticket):  # noqa: F811
    page = visit(ana)
    page.goto("/selling")

    page.locator(".row .sum").click(force=True)

    page.wait_for_url(f"**/tickets/{ticket['id']}")
    page.goto("/selling")
    page.get_by_role("link", name="Edit").click()
    page.wait_for_url("**/edit")


def test_until_when_a_ticket_is_held_stays_together_in_the_list_on_a_phone(visit, bo, ticket):  # noqa: F811
    bo.post("/api/orders", json={"ticketId": ticket["id"]})
    page = visit(bo, viewport={"width": 390, "height": 844})
    page.goto("/my/tickets")

    apart = page.locator(".row .state .hint").evaluate("""(hint) => {
      const [words, time] = [document.createRange(), hint.querySelector("time").getBoundingClientRect()];
      words.selectNodeContents(hint.firstChild);
      return Math.abs(time.left - words.getBoundingClientRect().right);
    }""")

    assert apart < 2


def test_forced_colours_show_where_one_is_and_the_edge_of_the_search(browser, url):  # noqa: F811
    with browser.new_context(base_url=url, forced_colors="active") as context:
        page = context.new_page()
        page.goto("/tickets?category=concert")
        current = page.locator("[aria-current]")
        outlines = [each.evaluate("(each) => getComputedStyle(each).outlineStyle") for each in current.all()]
        page.goto("/")
        edge, paper = page.locator(".hero input").evaluate(
            "(input) => [getComputedStyle(input).borderColor, getComputedStyle(input).backgroundColor]"
        )

    assert len(outlines) > 2 and {*outlines} == {"solid"}
    assert edge != paper


def test_receipt_is_printed_dark_on_white_without_navigation(visit, bo, ticket):  # noqa: F811
    order = bo.submit(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/buy").headers["Location"]
    bo.submit(order, f"{order}/pay", token="tok_visa")
    page = visit(bo, color_scheme="dark")
    page.goto(order, wait_until="domcontentloaded")

    page.emulate_media(media="print", color_scheme="dark")

    label, paper = page.locator(".facts dt").first, page.locator("body")
    assert [label.evaluate(COLOURS)[0], paper.evaluate(COLOURS)[1]] == ["rgb(90, 87, 103)", "rgb(255, 255, 255)"]
    assert {"Hamlet,", order.rpartition("/")[2]} <= {*paper.inner_text().split()}
    assert page.locator("nav a:visible, .foot:visible, button:visible").count() == 0
