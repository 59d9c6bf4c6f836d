"""A user's account: changing the password, signing out everywhere, consecutive sessions, rotation of keys."""

import html
import re

import pytest

from gateway.app import create_app
from gateway.proxies import Proxies
from gateway.tests.fakes import AUTH_PUBLIC, GATEWAY_PUBLIC, SETTINGS
from libs.settings import MissingSetting
from libs.tokens import Signer, new_key

ANA = {"email": "ana@example.com", "password": "ana and a word"}
CHANGE = {"currentPassword": "ana and a word", "newPassword": "another long one"}
OWN_PAGES = ["/account", "/account/name", "/account/security", "/account/sessions"]
TOO_MANY = {"email": "ana@example.com", "password": "again and again"}


@pytest.fixture
def elsewhere(app, ana):
    """Ana on another device."""
    browser = app.test_client()
    browser.post("/api/users/signin", json=ANA)
    return browser


def is_signed_in(browser):
    return browser.get("/api/users/currentuser").json["currentUser"] is not None


def test_changing_the_password_signs_out_everywhere_else(ana, elsewhere):
    answer = ana.post("/api/users/password", json=CHANGE)

    assert (answer.status_code, answer.json) == (200, {})
    assert is_signed_in(ana) and not is_signed_in(elsewhere)


def test_token_that_changed_the_password_is_no_longer_accepted(app, ana):
    thief = app.test_client()
    thief.set_cookie("ticketing-session", ana.get_cookie("ticketing-session").value)

    ana.post("/api/users/password", json=CHANGE)

    assert not is_signed_in(thief)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currentPassword": "wrong"}, "currentPassword"),
        ({"newPassword": "password"}, "newPassword"),
        ({"newPassword": "short"}, "newPassword"),
        ({"newPassword": {"$ne": None}}, "newPassword"),
        ({"currentPassword": None}, "currentPassword"),
    ],
)
def test_refused_password_is_reported_at_its_field_and_changes_nothing(ana, elsewhere, change, field):
    answer = ana.post("/api/users/password", json=CHANGE | change)

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json["errors"]] == [field]
    assert is_signed_in(ana) and is_signed_in(elsewhere)


def test_signing_out_everywhere_ends_all_sessions(ana, elsewhere):
    answer = ana.post("/api/users/signout-everywhere")

    assert (answer.status_code, answer.json) == (200, {})
    assert not is_signed_in(ana) and not is_signed_in(elsewhere)


@pytest.mark.parametrize("path", ["/api/users/signout", "/api/users/signout-everywhere"])
def test_sign_out_that_may_have_failed_is_503_and_can_be_repeated(app, services, ana, path):
    stolen = app.test_client()
    stolen.set_cookie("ticketing-session", ana.get_cookie("ticketing-session").value)
    assert is_signed_in(ana)
    services.unavailable |= {"auth.sign_out", "auth.sign_out_everywhere"}

    answer = ana.post(path)

    assert (answer.status_code, int(answer.headers["Retry-After"]) >= 1) == (503, True)
    assert "may still be signed in" in answer.json["errors"][0]["message"]
    services.unavailable.clear()
    assert ana.post(path).status_code == 200
    assert not is_signed_in(stolen)


def test_page_says_so_when_a_sign_out_may_have_failed_and_the_button_works_again(services, ana):
    services.unavailable.add("auth.sign_out")

    page = ana.submit("/account", "/signout")

    assert page.status_code == 503 and "Retry-After" in page.headers
    assert "You may still be signed in" in page.text
    services.unavailable.clear()
    assert ana.submit("/account", "/signout").status_code == 303
    assert not is_signed_in(ana)


def test_whoever_changed_the_password_without_an_answer_is_told_to_try_the_new_one(services, ana):
    services.unavailable.add("auth.change_password")

    answers = ana.post("/api/users/password", json=CHANGE), ana.submit("/account", "/account/password", **CHANGE)

    for answer in answers:
        assert answer.status_code == 503 and "Retry-After" in answer.headers
        assert "try the new one first" in answer.text
    assert is_signed_in(ana)


@pytest.mark.parametrize("path", ["/api/users/password", "/api/users/signout-everywhere"])
def test_account_is_not_changed_without_a_session(client, path):
    assert client.post(path, json=CHANGE).status_code == 401


def test_account_page_changes_the_password(ana, elsewhere):
    answer = ana.submit("/account", "/account/password", **CHANGE)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    assert "Your password is changed" in ana.get("/account").text
    assert not is_signed_in(elsewhere)


def test_account_page_shows_what_is_wrong_and_no_password(ana):
    answer = ana.submit("/account", "/account/password", currentPassword="wrong one", newPassword="another long one")

    assert answer.status_code == 400
    assert "This is not your current password." in answer.text
    assert "wrong one" not in answer.text and "another long one" not in answer.text


def test_account_page_signs_out_everywhere(ana, elsewhere):
    answer = ana.submit("/account", "/account/signout-everywhere")

    assert answer.status_code == 303
    assert not is_signed_in(ana) and not is_signed_in(elsewhere)


@pytest.mark.parametrize("path", OWN_PAGES)
def test_each_page_of_ones_account_leads_to_the_others_and_says_which_it_is(ana, path):
    shown = ana.get(path).text.partition('<nav aria-label="Your account">')[2].partition("</nav>")[0]

    assert re.findall(r'href="([^"]+)"', shown) == OWN_PAGES
    assert re.findall(r'href="([^"]+)" aria-current="page"', shown) == [path]


@pytest.mark.parametrize("path", OWN_PAGES)
def test_menu_says_on_each_page_of_ones_account_where_one_is(ana, path):
    menu = ana.get(path).text.partition('<nav aria-label="Main">')[2].partition("</nav>")[0]

    assert re.findall(r'href="([^"]+)"[^>]* aria-current', menu) == ["/account"]


def test_account_page_is_private(client):
    assert client.get("/account").headers["Location"].startswith("/signin?next=/account")


def test_signing_in_over_a_session_ends_it(app, ana):
    stolen = ana.get_cookie("ticketing-session").value

    ana.post("/api/users/signin", json=ANA)

    thief = app.test_client()
    thief.set_cookie("ticketing-session", stolen)
    assert is_signed_in(ana) and not is_signed_in(thief)


def test_wrong_sign_in_leaves_the_session_alone(ana):
    assert ana.post("/api/users/signin", json=ANA | {"password": "wrong"}).status_code == 400

    assert is_signed_in(ana)


def test_too_many_tries_on_the_page_are_answered_with_retry_after(client):
    answer = client.submit("/signin", **TOO_MANY)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert "Too many tries" in answer.text


def passed_address(services):
    return [arguments["address"] for method, arguments in services.calls if method == "auth.sign_in"][-1]


def test_client_cannot_forge_the_address_that_its_tries_are_counted_for(client, services):
    client.post("/api/users/signin", json=ANA, headers={"X-Forwarded-For": "192.0.2.9"})

    assert passed_address(services) == "127.0.0.1"


def test_invalid_number_of_proxies_stops_the_start(services, revocations):
    with pytest.raises(MissingSetting, match="GATEWAY_PROXIES is not of the form NUMBER, from 0"):
        create_app(services, SETTINGS | {"GATEWAY_PROXIES": "two"}, revocations)


def test_address_is_taken_from_as_many_proxies_as_are_set(services, revocations):
    client = create_app(services, SETTINGS | {"GATEWAY_PROXIES": "1"}, revocations).test_client()

    client.post("/api/users/signin", json=ANA, headers={"X-Forwarded-For": "192.0.2.9, 198.51.100.7"})

    assert passed_address(services) == "198.51.100.7"


def environ(header):
    return {"HTTP_X_FORWARDED_FOR": header} if header else {}


@pytest.mark.parametrize(
    ("number", "header", "is_wrong"),
    [
        (0, "192.0.2.9", True),
        (0, None, False),
        (1, "192.0.2.9", False),
        (1, "192.0.2.9, 198.51.100.7", False),
        (2, "192.0.2.9", True),
        (1, None, True),
        (1, "", True),
        (1, "unknown", True),
        (1, "192.0.2.9, _hidden", True),
        (1, "192.0.2.9, ", False),
    ],
)
def test_operator_who_forgot_to_set_the_number_of_proxies_reads_so_in_the_log(caplog, number, header, is_wrong):
    proxies = Proxies(lambda *_: [], number, clock=lambda: 0.0)

    proxies(environ(header), None)

    logged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [f"but GATEWAY_PROXIES is {number}" in line for line in logged] == [True] * is_wrong
    assert "192.0.2.9" not in caplog.text


@pytest.fixture
def just_started(services, revocations):
    """A client of a gateway that has logged nothing: it repeats itself once a minute only."""
    return create_app(services, SETTINGS, revocations).test_client()


@pytest.mark.parametrize("header", ["Forwarded", "X-Real-IP", "X-Forwarded-Proto"])
def test_proxy_that_names_the_client_in_another_header_is_noticed(just_started, caplog, header):
    just_started.get("/", headers={header: "for=192.0.2.9"})

    assert f"a proxy has set {header}, but GATEWAY_PROXIES is 0" in caplog.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/webhooks/stripe"])
def test_probes_and_stripe_may_come_around_the_proxies(caplog, path):
    Proxies(lambda *_: [], 1, clock=lambda: 0.0)({"PATH_INFO": path}, None)

    assert "GATEWAY_PROXIES" not in caplog.text


@pytest.mark.parametrize(
    ("named", "address"),
    [("198.51.100.7:5678", "198.51.100.7"), ("[2001:db8::7]:443", "2001:db8::7"), ("2001:db8::7", "2001:db8::7")],
)
def test_client_of_a_proxy_that_adds_ports_has_an_address_of_its_own(services, revocations, named, address):
    client = create_app(services, SETTINGS | {"GATEWAY_PROXIES": "1"}, revocations).test_client()

    client.post("/api/users/signin", json=ANA, headers={"X-Forwarded-For": named})

    assert passed_address(services) == address


def test_wrong_number_of_proxies_is_logged_once_a_minute(caplog):
    now = [0.0]
    proxies = Proxies(lambda *_: [], 0, clock=lambda: now[0])

    for _ in range(180):
        proxies(environ("192.0.2.9"), None)
        now[0] += 1

    assert caplog.text.count("GATEWAY_PROXIES") == 3


def test_request_through_a_proxy_that_nobody_set_is_noticed_by_the_gateway(just_started, caplog):
    just_started.get("/", headers={"X-Forwarded-For": "192.0.2.9"})

    assert "but GATEWAY_PROXIES is 0" in caplog.text


def test_cookies_of_the_older_secret_key_are_accepted_until_it_is_removed(ana, services, revocations):
    def signed_in_with(keys):
        browser = create_app(services, SETTINGS | {"GATEWAY_SECRET_KEY": keys}, revocations).test_client()
        browser.set_cookie("ticketing-session", ana.get_cookie("ticketing-session").value)
        return is_signed_in(browser)

    new, old = "n" * 48, SETTINGS["GATEWAY_SECRET_KEY"]

    assert signed_in_with(f"{new},{old}") and signed_in_with(f"{new}, {old}")
    assert not signed_in_with(new)


def test_new_cookies_are_signed_with_the_first_secret_key(services, revocations):
    keys = [f"{'n' * 48},{'o' * 48}", "n" * 48]
    first, second = (create_app(services, SETTINGS | {"GATEWAY_SECRET_KEY": key}, revocations) for key in keys)
    browser, other = first.test_client(), second.test_client()
    browser.post("/api/users/signup", json=ANA)

    other.set_cookie("ticketing-session", browser.get_cookie("ticketing-session").value)

    assert is_signed_in(other)


@pytest.mark.parametrize("step", range(3))
def test_users_stay_signed_in_while_gateways_get_a_new_secret_key_one_by_one(services, revocations, step):
    old, new = "o" * 48, "n" * 48
    keys = [old, f"{old},{new}", f"{new},{old}", new][step : step + 2]  # docs/operations.md: Replace a key
    gateways = [create_app(services, SETTINGS | {"GATEWAY_SECRET_KEY": key}, revocations) for key in keys]

    for number, (one, other) in enumerate((gateways, gateways[::-1])):
        browser, moved = one.test_client(), other.test_client()
        browser.post("/api/users/signup", json=ANA | {"email": f"ana{number}@example.com"})
        moved.set_cookie("ticketing-session", browser.get_cookie("ticketing-session").value)
        assert is_signed_in(moved)


@pytest.mark.parametrize("keys", ["n" * 48 + ",short", "n" * 48 + ",", "changeme," + "n" * 48])
def test_every_secret_key_must_be_strong(keys):
    with pytest.raises(SystemExit, match="GATEWAY_SECRET_KEY"):
        create_app(settings=SETTINGS | {"GATEWAY_SECRET_KEY": keys})


def test_sessions_of_both_keys_of_auth_are_accepted_during_rotation(services, revocations):
    private, public = new_key("auth:2")
    both, only_new = f"{AUTH_PUBLIC},{public},{GATEWAY_PUBLIC}", f"{public},{GATEWAY_PUBLIC}"

    def accepts(public_keys, signer):
        browser = create_app(services, SETTINGS | {"TOKEN_PUBLIC_KEYS": public_keys}, revocations).test_client()
        with browser.session_transaction() as session:
            session["token"] = signer.mint("ana", 60, email="ana@example.com")
        return is_signed_in(browser)

    assert accepts(both, services.signer) and accepts(both, Signer(private))
    assert accepts(only_new, Signer(private)) and not accepts(only_new, services.signer)


@pytest.mark.parametrize(("path", "target"), [("/signin", "/"), ("/signup", "/"), ("/signin?next=/sell", "/sell")])
def test_who_is_signed_in_is_led_past_the_pages_for_that(ana, path, target):
    answer = ana.get(path)

    assert (answer.status_code, answer.headers["Location"]) == (303, target)


@pytest.mark.parametrize("path", ["/signin", "/signup"])
def test_language_and_theme_chosen_after_a_refused_sign_in_lead_to_where_the_visitor_was_going(client, path):
    refused = client.submit(f"{path}?next=/tickets?q=hamlet", path, email="ana@example.com", password="wrong").text
    backs = {html.unescape(back) for back in re.findall('name="back" type="hidden" value="([^"]+)"', refused)}

    assert backs == {f"{path}?next=%2Ftickets%3Fq%3Dhamlet"}
    assert 'name="next" value="/tickets?q=hamlet"' in client.get(backs.pop()).text


def test_sign_in_that_is_too_large_is_refused_with_a_page(client):
    refused = client.post("/signin", data={"next": "/sell", "email": "x" * 70_000})

    assert refused.status_code == 413 and "What you sent is too large" in refused.text


def test_email_in_use_offers_to_sign_in_with_it(ana, client):
    refused = client.submit("/signup?next=/sell", "/signup", email="ana@example.com", password="something else")
    link = html.unescape(re.search(r'<a href="([^"]+)">Sign in instead</a>', refused.text)[1])

    assert refused.status_code == 400 and "Email in use" in refused.text
    assert 'value="ana@example.com"' in client.get(link).text and 'name="next" value="/sell"' in client.get(link).text


def test_all_that_is_wrong_with_a_sign_up_is_said_at_once(client):
    page = client.submit("/signup", email="no email", password="short").text

    assert 'href="#email"' in page and 'href="#password"' in page
