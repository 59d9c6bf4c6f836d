"""The pages of a user's second factor and passkeys, which work without JavaScript but for passkeys."""

import re

import pyotp
import pytest

from dev.passkeys import SoftwarePasskey
from gateway.tests.fake_factors import RECOVERY_CODES, SITE
from libs.rpc import RemoteError

ANA = {"email": "ana@example.com", "password": "ana and a word"}
SECURITY, SET_UP = "/account/security", "/account/security/authenticator"


def code(secret):
    return pyotp.TOTP(secret).now()


def secret_on(page):
    return re.search('class="key">([A-Z2-7 ]+)<', page.text)[1].replace(" ", "")


def turn_on(browser):
    """Set the app up on the pages; return its secret and the page with the recovery codes."""
    page = browser.get(SET_UP)
    secret = secret_on(page)
    return secret, browser.post(SET_UP, data=hidden_fields(page) | {"code": code(secret)})


def hidden_fields(page):
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))


def is_signed_in(browser):
    return browser.get("/api/users/currentuser").json["currentUser"] is not None


@pytest.fixture
def phone(ana):
    """The secret in Ana's app, which is set up."""
    return turn_on(ana)[0]


def test_app_is_set_up_with_a_qr_code_and_recovery_codes_are_shown_once(ana):
    page = ana.get(SET_UP)
    secret, shown = turn_on(ana)

    assert "<svg" in page.text and "style=" not in page.text
    assert len(secret_on(page)) == 32
    assert all(code in shown.text for code in RECOVERY_CODES)
    assert shown.headers["Cache-Control"] == "no-store"
    assert "An authenticator app was set up." in ana.get(SECURITY).text
    assert "You have 10 recovery codes left" in ana.get(SECURITY).text


def test_wrong_code_shows_the_same_key_again(ana):
    page = ana.submit(SET_UP, code="000000")
    first = secret_on(page)
    hidden = hidden_fields(page)
    again = ana.post(SET_UP, data={**hidden, "code": "111111"})

    assert (page.status_code, again.status_code) == (400, 400)
    assert "This code is wrong" in page.text
    assert secret_on(again) == first


def test_reload_of_the_recovery_codes_makes_no_others_and_says_that_the_app_is_set_up(ana):
    page = ana.get(SET_UP)
    sent = hidden_fields(page) | {"code": code(secret_on(page))}
    ana.post(SET_UP, data=sent)

    again = [ana.post(SET_UP, data=sent | late) for late in ({}, {"code": "000000"})]

    assert [(answer.status_code, answer.headers["Location"]) for answer in again] == [(303, SECURITY)] * 2
    shown = ana.get(SECURITY).text
    assert "Your authenticator app is set up already." in shown
    assert shown.count("An authenticator app was set up.") == 1


def test_sign_in_asks_for_the_code_and_then_leads_to_where_the_visitor_was(client, phone):
    asked = client.submit("/signin?next=/orders", "/signin", **ANA)
    page = client.get(asked.headers["Location"])
    wrong = client.submit(asked.headers["Location"], "/signin/code", code="000000")

    assert asked.headers["Location"] == "/signin/code?next=/orders"
    assert "Enter your code" in page.text and not is_signed_in(client)
    assert '<a href="/about/contact">Write to us</a> to have the app turned off' in page.text
    assert re.search('id="code"[^>]* autofocus', page.text) and not re.search('id="code"[^>]* autofocus', wrong.text)
    assert (wrong.status_code, is_signed_in(client)) == (400, False)
    assert "000000" not in wrong.text
    done = client.submit(asked.headers["Location"], "/signin/code", code=code(phone))
    assert (done.headers["Location"], is_signed_in(client)) == ("/orders", True)


def test_recovery_code_signs_in_on_the_page(client, phone):
    client.submit("/signin", **ANA)

    assert client.submit("/signin/code", code=RECOVERY_CODES[0]).status_code == 303
    assert is_signed_in(client)


def test_recovery_code_still_signs_in_when_the_codes_of_the_app_cannot_be_checked(client, services, phone, monkeypatch):
    def unreadable(_user, _code):
        raise RemoteError("AuthenticatorUnreadable", "We cannot check the codes of your app now.")

    client.submit("/signin", **ANA)
    with monkeypatch.context() as patched:
        patched.setattr(services, "_use_code", unreadable)
        refused = client.submit("/signin/code", code=code(phone))
        by_api = client.post("/api/users/signin", json=ANA | {"code": code(phone)})

    assert (refused.status_code, by_api.status_code) == (503, 503)
    assert problem_at(refused, "code") == by_api.json["errors"][0]["message"]
    assert client.submit("/signin/code", code=RECOVERY_CODES[0]).status_code == 303


def test_page_for_the_code_leads_to_signing_in_when_nothing_waits_for_one(client, services, phone):
    assert client.get("/signin/code?next=/orders").headers["Location"] == "/signin?next=/orders"
    client.submit("/signin", **ANA)
    services.users.clear()

    late = client.submit("/signin/code", code=code(phone))

    assert late.headers["Location"].startswith("/signin")
    assert "took too long" in client.get("/signin").text


def test_api_needs_the_code_too(client, phone):
    refused = client.post("/api/users/signin", json=ANA)
    wrong = client.post("/api/users/signin", json=ANA | {"code": "000000"})

    assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "code")
    assert (wrong.status_code, wrong.json["errors"][0]["field"]) == (400, "code")
    assert not is_signed_in(client)
    assert client.post("/api/users/signin", json=ANA | {"code": code(phone)}).status_code == 200
    assert is_signed_in(client)


def test_first_half_of_a_sign_in_opens_nothing(client, phone):
    client.submit("/signin", **ANA)

    assert client.get("/account").headers["Location"].startswith("/signin")
    assert client.get(SECURITY).headers["Location"].startswith("/signin")
    assert client.get("/api/orders").status_code == 401


def test_app_is_turned_off_and_codes_are_renewed_on_the_page(ana, client, phone):
    renewed = ana.submit(SECURITY, f"{SECURITY}/recovery-codes")
    off = ana.submit(SECURITY, f"{SECURITY}/turn-off-authenticator")

    assert RECOVERY_CODES[0].upper() in renewed.text
    assert off.headers["Location"] == SECURITY
    assert "turned off" in ana.get(SECURITY).text
    assert client.submit("/signin", **ANA).headers["Location"] == "/"


def test_change_in_an_old_session_asks_first_who_it_is_and_then_goes_on(ana, services):
    services.needs_confirmation = True

    asked = ana.get(SET_UP)
    wrong = ana.submit(asked.headers["Location"], "/account/confirm", currentPassword="wrong")
    neither = ana.submit(asked.headers["Location"], "/account/confirm")
    confirmed = ana.submit(asked.headers["Location"], "/account/confirm", currentPassword=ANA["password"])

    assert asked.headers["Location"] == f"/account/confirm?next={SET_UP}"
    assert (wrong.status_code, neither.status_code) == (400, 400)
    assert "This is not your current password." in wrong.text and "wrong" not in re.findall(
        'value="([^"]*)"', wrong.text
    )
    assert (confirmed.status_code, confirmed.headers["Location"]) == (303, SET_UP)
    assert ana.get(SET_UP).status_code == 200


def grow_old(ana, services):
    """Let ten minutes pass since the session began, or was confirmed."""
    services.needs_confirmation = True
    with ana.session_transaction() as session:
        session.pop("proof", None)


def problem_at(page, field):
    found = re.search(f'id="{field}-problem"><span class="unseen">Error:</span> ([^<]*)<', page.text)
    return found and found[1]


def test_password_alone_confirms_nobody_who_has_an_app(ana, services, phone):
    grow_old(ana, services)

    alone = ana.submit("/account/confirm", currentPassword=ANA["password"])
    neither = ana.submit("/account/confirm")
    wrong = ana.submit("/account/confirm", currentPassword=ANA["password"], code="000000")
    code_alone = ana.submit("/account/confirm", code=code(phone))

    assert {page.status_code for page in (alone, neither, wrong, code_alone)} == {400}
    assert problem_at(alone, "code") == "Enter a code of your app."
    assert problem_at(neither, "currentPassword") == "Enter your password." and problem_at(neither, "code")
    assert "wrong" in problem_at(wrong, "code") and "000000" not in wrong.text
    assert ana.submit(SECURITY, f"{SECURITY}/turn-off-authenticator").headers["Location"].startswith("/account/confirm")
    assert is_app_on(ana)


def is_app_on(ana):
    return "recovery codes left" in ana.get(SECURITY).text


def test_set_up_of_an_app_confirms_the_session_in_which_it_was_done(ana, services, phone):
    services.needs_confirmation = True

    assert ana.submit(SECURITY, f"{SECURITY}/recovery-codes").status_code == 200


def test_page_asks_for_no_code_of_who_has_no_app(ana):
    assert 'id="code"' not in ana.get("/account/confirm").text
    assert 'id="code"' not in ana.get("/account").text


NEW = {"currentPassword": ANA["password"], "newPassword": "another long one"}


def test_password_is_changed_with_a_code_on_the_page_and_over_the_api_by_who_has_an_app(ana, client, phone):
    without = ana.submit("/account", "/account/password", **NEW)
    wrong = ana.submit("/account", "/account/password", **NEW, code="000000")
    by_api = ana.post("/api/users/password", json=NEW)

    assert 'id="code"' in ana.get("/account").text
    assert (without.status_code, problem_at(without, "code")) == (400, "Enter a code of your app.")
    assert (wrong.status_code, bool(problem_at(wrong, "code"))) == (400, True)
    assert (by_api.status_code, by_api.json["errors"][0]["field"]) == (400, "code")
    assert ana.post("/api/users/password", json=NEW | {"code": code(phone)}).status_code == 200
    again = {"currentPassword": "another long one", "newPassword": "and yet another"}
    assert ana.submit("/account", "/account/password", **again, code=RECOVERY_CODES[0]).status_code == 303


@pytest.mark.parametrize("action", [f"{SECURITY}/turn-off-authenticator", f"{SECURITY}/recovery-codes"])
def test_form_in_an_old_session_changes_nothing_until_it_is_confirmed(ana, services, phone, action):
    grow_old(ana, services)

    asked = ana.submit(SECURITY, action)

    assert asked.headers["Location"] == "/account/confirm?next=/account/security"
    assert "You have 10 recovery codes left" in ana.get(SECURITY).text
    both = {"currentPassword": ANA["password"], "code": code(phone)}
    ana.submit(asked.headers["Location"], "/account/confirm", **both)
    assert ana.submit(SECURITY, action).status_code in (200, 303)


def test_confirmation_sent_too_late_still_leads_to_the_change(ana):
    late = {"currentPassword": ANA["password"], "next": SET_UP, "csrf_token": "of an earlier session"}
    vouched = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}

    shown = ana.post("/account/confirm", data=late, headers=vouched, follow_redirects=True).text

    assert f'name="next" value="{SET_UP}"' in shown


def test_confirmation_leads_to_no_other_site(ana):
    assert (
        ana.submit("/account/confirm?next=//evil.example", "/account/confirm", currentPassword=ANA["password"]).headers[
            "Location"
        ]
        == SECURITY
    )


def add_passkey(browser, name="Phone"):
    passkey = SoftwarePasskey(SITE)
    hidden = hidden_fields(browser.get(SECURITY))
    options = browser.post(f"{SECURITY}/passkey-options", data=hidden).json
    return passkey, browser.post(
        f"{SECURITY}/passkeys", data=hidden | {"answer": passkey.create(options), "name": name}
    )


def test_passkey_is_added_named_used_and_removed(ana, client):
    passkey, added = add_passkey(ana, "Ana's phone")
    hidden = hidden_fields(client.get("/signin"))
    options = client.post("/signin/passkey-options", data=hidden).json

    signed_in = client.post("/signin/passkey", data=hidden | {"answer": passkey.get(options), "next": "/orders"})

    assert added.headers["Location"] == SECURITY
    assert (signed_in.headers["Location"], is_signed_in(client)) == ("/orders", True)
    page = ana.get(SECURITY).text
    assert "Ana&#39;s phone" in page and "last used" in page
    removed = ana.submit(SECURITY, f"{SECURITY}/remove-passkey")
    assert removed.headers["Location"] == SECURITY
    assert "A passkey was removed:" in ana.get(SECURITY).text


def test_passkey_without_a_name_is_refused_at_its_field(ana):
    _, refused = add_passkey(ana, " ")

    assert refused.status_code == 400
    assert "Enter a name for the passkey." in refused.text


def test_unknown_passkey_leads_back_with_the_reason(client):
    hidden = hidden_fields(client.get("/signin"))
    options = client.post("/signin/passkey-options", data=hidden).json

    answer = client.post("/signin/passkey", data=hidden | {"answer": SoftwarePasskey(SITE).get(options)})

    assert answer.headers["Location"].startswith("/signin")
    assert "not known here" in client.get("/signin").text


@pytest.mark.parametrize("path", [SECURITY, SET_UP, "/account/confirm"])
def test_pages_of_the_account_are_private(client, path):
    assert client.get(path).headers["Location"] == f"/signin?next={path}"


def test_no_code_or_key_is_kept_for_a_form_that_comes_too_late(ana, app):
    stale = app.test_client()
    answer = stale.post(
        SET_UP, data={"setup": "setup KEY", "code": "123456"}, headers={"Sec-Fetch-Site": "same-origin"}
    )

    with stale.session_transaction() as session:
        assert (answer.status_code, session["typed"]) == (303, {SET_UP: {}})
