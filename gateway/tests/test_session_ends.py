"""When a session ends by itself, and what stays to be read in its tabs."""

import re
import time

import pytest
from playwright.sync_api import expect

from dev.testing import ROOT
from gateway.sessions import IDLE_SECONDS, USE_NOTED_SECONDS
from gateway.tests.browsing import url, visit  # noqa: F401 - fixtures


def used_ago(browser, seconds):
    with browser.session_transaction() as session:
        session["used_at"] = int(time.time()) - seconds


def used_at(browser):
    with browser.session_transaction() as session:
        return session["used_at"]


def test_session_that_nobody_used_for_an_hour_has_ended(ana):
    used_ago(ana, IDLE_SECONDS)

    assert ana.get("/account").headers["Location"] == "/signin?next=/account"
    assert ana.get("/api/orders").status_code == 401
    assert ana.get("/account").status_code == 303  # and asking does not bring it back


def test_session_that_is_used_goes_on(ana):
    used_ago(ana, IDLE_SECONDS - 60)

    assert ana.get("/account").status_code == 200
    assert time.time() - used_at(ana) < 60


def test_cookie_is_not_sent_again_on_each_request(ana):
    used_ago(ana, USE_NOTED_SECONDS - 60)

    assert "Set-Cookie" not in ana.get("/api/orders").headers
    assert time.time() - used_at(ana) > 60


def test_session_of_an_earlier_version_goes_on(ana):
    with ana.session_transaction() as session:
        del session["used_at"]

    assert ana.get("/account").status_code == 200
    assert time.time() - used_at(ana) < 60


@pytest.mark.parametrize("button", ["Sign out", "Sign out everywhere"])
def test_what_a_page_shows_of_its_user_is_gone_once_they_sign_out_in_another_tab(ana, services, visit, button):  # noqa: F811
    page = visit(ana)
    page.goto("/account/sessions")
    other = page.context.new_page()
    other.goto("/account")

    other.get_by_role("button", name=button, exact=True).click()

    expect(other.get_by_text("You are signed out")).to_be_visible()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "ana@example.com" not in page.content()


def test_scripts_keep_nothing_in_the_browser():
    scripts = [*(ROOT / "gateway" / "static").rglob("*.js")]

    assert scripts
    for script in scripts:
        assert not re.search(r"localStorage|sessionStorage|indexedDB", script.read_text()), script
