"""When a session ends by itself, what stays readable in its tabs, and requests without one."""

import gc
import re
import time
import weakref

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


def test_use_noted_by_a_clock_that_was_ahead_is_noted_anew(ana):
    used_ago(ana, -IDLE_SECONDS + 60)

    assert ana.get("/account").status_code == 200
    assert abs(time.time() - used_at(ana)) < 60


def test_use_in_a_far_future_ends_the_session(ana):
    used_ago(ana, -IDLE_SECONDS)

    assert ana.get("/account").status_code == 303


@pytest.mark.parametrize("button", ["Sign out", "Sign out here", "Sign out everywhere"])
def test_what_a_page_shows_of_its_user_is_gone_once_they_sign_out_in_another_tab(ana, visit, button):  # noqa: F811
    page = visit(ana)
    page.goto("/account")
    other = page.context.new_page()
    other.goto("/account/sessions")

    other.get_by_role("button", name=button, exact=True).click()

    expect(other.get_by_text("You are signed out")).to_be_visible()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "ana@example.com" not in page.content()


def sign_out_in_another_tab(page):
    other = page.context.new_page()
    other.goto("/")
    other.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_half_typed_form_does_not_ask_to_stay_once_its_user_signs_out_in_another_tab(ana, visit):  # noqa: F811
    page, asked = visit(ana), []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.goto("/sell")
    page.get_by_label("Event", exact=True).fill("Hamlet")

    sign_out_in_another_tab(page)

    assert asked == []


@pytest.mark.parametrize("path", ["/%5Cevil.example/", "/%09/evil.example/"])
def test_a_tab_does_not_lead_to_another_site_once_its_user_signs_out_in_another_tab(ana, visit, path):  # noqa: F811
    page = visit(ana)
    page.goto(path)
    other = page.context.new_page()
    other.goto("/")

    other.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    assert page.url.endswith(path)


@pytest.mark.parametrize(
    ("form", "button", "shown"),
    [("/sell", "Put on sale", "/signin?next=/sell"), ("/account", "Change password", "/signin?next=/account")],
)
def test_a_refused_form_is_not_sent_again_when_its_user_signs_out_in_another_tab(ana, visit, form, button, shown):  # noqa: F811
    page = visit(ana)
    page.goto(form)
    page.get_by_role("main").get_by_role("button", name=button).click()
    expect(page.get_by_role("heading", name="There is a problem")).to_be_visible()
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))

    sign_out_in_another_tab(page)

    assert sent == [] and page.url.endswith(shown)
    assert page.get_by_text("What you typed is kept").count() == 0


def test_scripts_keep_nothing_in_the_browser():
    scripts = [*(ROOT / "gateway" / "static").rglob("*.js")]

    assert scripts
    for script in scripts:
        assert not re.search(r"localStorage|sessionStorage|indexedDB", script.read_text()), script


def test_request_without_a_session_leaves_nothing_to_the_garbage_collector(app):
    gc.disable()
    try:
        with app.test_request_context("/tickets") as context:
            handled = weakref.ref(context.request)
        del context
        assert handled() is None
    finally:
        gc.enable()
