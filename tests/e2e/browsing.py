"""Users with a browser (Chromium), and what they do on the pages. SCREENSHOTS=FOLDER keeps a picture of each page."""

import os
import re
import secrets
from pathlib import Path

import pytest
from playwright.sync_api import expect


@pytest.fixture
def visitor(browser, system):
    """Open a page in a browser of its own."""
    contexts, violations = [], []

    def visit(**options):
        context = browser.new_context(base_url=system.gateway_url, **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: violations.append(line.text) if "Content Security" in line.text else None)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert violations == [], "our own pages violate their Content-Security-Policy"


@pytest.fixture
def signed_in(visitor):
    """Open a page in a browser that has a person's session."""

    def visit(person, **options):
        page = visitor(**options)
        page.context.add_cookies(
            [{"name": each.name, "value": each.value, "url": person.url} for each in person.http.cookies]
        )
        return page

    return visit


def sign_up(page, name):
    page.goto("/signup")
    page.get_by_label("Email").fill(f"{name}-{secrets.token_hex(4)}@example.org")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name=re.compile("sign up|create", re.I)).click()
    expect(page.get_by_role("button", name=re.compile("sign out", re.I))).to_be_visible()
    return page


def picture(page, name):
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def sell(page, title):
    page.goto("/sell")
    page.get_by_label("Event", exact=True).fill(title)
    page.get_by_label("Price").fill("19.99")
    page.get_by_label("Category").select_option("stage")
    picture(page, "sell")
    page.get_by_role("button", name="Put on sale").click()
    expect(page.get_by_role("heading", name=title)).to_be_visible()


def buy(page, title):
    page.goto("/tickets")
    picture(page, "listing")
    page.get_by_role("link", name=title).click()
    picture(page, "ticket")
    page.get_by_role("button", name="Buy for $19.99").click()
    expect(page.get_by_role("button", name="Pay $19.99")).to_be_visible()
    picture(page, "order")


def pay(page, card):
    choice = page.get_by_label(re.compile(card))
    if not choice.is_visible():
        page.get_by_text("Use a test card").click()
    choice.check()
    page.get_by_role("button", name="Pay $19.99").click()


def a_title():
    return f"Hamlet, seat {secrets.token_hex(3)}"
