"""Forms sent after the session has ended or changed: nothing typed is lost, and nothing is done by itself."""

import re
from random import Random

import pytest

from gateway.sessions import IDLE_SECONDS

TYPED = {
    "title": "Hamlet, row 3",
    "price": "19.99",
    "category": "movie",
    "venue": "Globe",
    "city": "London",
    "startsAt": "2030-01-02T19:30",
    "timeZone": "London",
    "section": "B",
    "row": "",
    "seat": "14",
}
OWN = {"HTTP_ORIGIN": "http://localhost", "HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_SEC_FETCH_MODE": "navigate"}
ANA = {"email": "ana@example.com", "password": "ana and a word"}
BO = {"email": "bo@example.com", "password": "bo and a word"}
COOKIE = "ticketing-session"


@pytest.fixture
def ana(ana):
    """Ana in a browser that says where its requests come from."""
    ana.environ_base.update(OWN)
    return ana


@pytest.fixture
def visitor(client):
    client.environ_base.update(OWN)
    return client


def hidden(page):
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


def token(page):
    return hidden(page)["csrf_token"]


def shown(page):
    """Return the fields of the page's form, hidden ones aside."""
    inputs = re.findall(r'<input id="(\w+)" name="\w+" type="[^"]+" value="([^"]*)"', page)
    chosen = r'<select[^>]* name="(\w+)"(?:(?!</select>).)*<option[^>]*? selected>([^<]+)'
    labels = {label: value for value, label in re.findall(r'<option value="([^"]+)"[^>]*>([^<]+)', page)}
    return dict(inputs) | {name: labels.get(label, label) for name, label in re.findall(chosen, page, re.DOTALL)}


def check_listed_when_the_button_is_pressed_again(browser, page, services, path="/sell"):
    assert shown(page) == TYPED
    browser.post(path, data=hidden(page) | shown(page))
    assert TYPED["title"] in [ticket["title"] for ticket in services.tickets.values()]


def end_in_another_tab(ana):
    ana.post("/signout", data={"csrf_token": token(ana.get("/sell").text)})


def sign_in(browser, location, user=ANA):
    page = browser.get(location).text
    return browser.post("/signin", data={**user, "next": hidden(page)["next"], "csrf_token": token(page)})


def lose_the_cookie(ana, _app, _services):
    ana.delete_cookie(COOKIE)


def sign_out_in_another_tab(ana, _app, _services):
    end_in_another_tab(ana)


def be_revoked_elsewhere(ana, app, services):
    with ana.session_transaction() as session:
        claims = app.extensions["verifier"].verify(session["token"])
    services.revoked.add(claims.session_id)


def be_idle_for_long(ana, _app, _services):
    with ana.session_transaction() as session:
        session["used_at"] -= IDLE_SECONDS


@pytest.mark.parametrize("lose", [lose_the_cookie, sign_out_in_another_tab, be_revoked_elsewhere, be_idle_for_long])
def test_what_was_typed_before_the_session_ended_is_there_after_signing_in(ana, app, services, lose):
    form = ana.get("/sell").text
    lose(ana, app, services)

    refused = ana.post("/sell", data=hidden(form) | TYPED)
    assert (refused.status_code, refused.headers["Location"]) == (303, "/signin?next=/sell")
    assert "What you typed is kept" in ana.get(refused.headers["Location"]).text
    signed_in = sign_in(ana, refused.headers["Location"])

    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, "/sell")
    assert not services.tickets  # nothing is done by itself
    page = ana.get("/sell").text
    assert hidden(page)["key"] == hidden(form)["key"]  # so that it is listed once, also if it had been listed before
    check_listed_when_the_button_is_pressed_again(ana, page, services)
    assert TYPED["title"] not in ana.get("/sell").text  # a new form is empty


@pytest.mark.parametrize("end", [be_revoked_elsewhere, be_idle_for_long])
def test_what_was_typed_before_the_session_ended_is_not_shown_to_another_user(ana, bo, app, services, end):
    form = ana.get("/sell").text
    end(ana, app, services)

    refused = ana.post("/sell", data=hidden(form) | TYPED)
    sign_in(ana, refused.headers["Location"], BO)  # in the same browser

    page = ana.get("/sell").text
    assert BO["email"] in page and TYPED["title"] not in page


def test_what_was_typed_before_signing_in_again_in_another_tab_is_still_there(ana, services):
    form = ana.get("/sell").text
    end_in_another_tab(ana)
    sign_in(ana, "/signin")

    refused = ana.post("/sell", data=TYPED | {"csrf_token": token(form)})
    page = ana.get(refused.headers["Location"]).text

    assert (refused.status_code, refused.headers["Location"]) == (303, "/sell")
    assert "This form was too old, so nothing was done" in page and not services.tickets
    check_listed_when_the_button_is_pressed_again(ana, page, services)


def test_what_was_typed_in_two_tabs_before_the_session_ended_is_in_both(ana, ticket):
    edit = f"/tickets/{ticket['id']}/edit"
    forms = {path: hidden(ana.get(path).text) | TYPED for path in (edit, "/sell")}
    ana.delete_cookie(COOKIE)
    locations = [ana.post(path, data=forms[path]).headers["Location"] for path in forms]

    signed_in = [sign_in(ana, locations[0]), ana.get(locations[1])]  # a user who is signed in need not do so again
    signed_in = [answer.headers["Location"] for answer in signed_in]

    assert signed_in == [edit, "/sell"]
    assert [shown(ana.get(path).text) for path in signed_in] == [TYPED, TYPED]
    assert [TYPED["venue"] in ana.get(path).text for path in signed_in] == [False, False]


@pytest.mark.parametrize("away", ["tickets", "auth"])
def test_what_was_typed_while_a_service_did_not_answer_is_there_when_it_does(ana, services, away):
    form = ana.get("/sell").text
    services.unavailable = {away}
    failed = ana.post("/sell", data=hidden(form) | TYPED)
    services.unavailable = set()

    page = ana.get("/sell").text

    assert failed.status_code == 503 and '<a class="button" href="/sell">Back to the form</a>' in failed.text
    assert hidden(page)["key"] == hidden(form)["key"]  # it may have been listed
    check_listed_when_the_button_is_pressed_again(ana, page, services)


def test_an_edit_of_a_ticket_survives_signing_in_again(ana, ticket, services):
    path = f"/tickets/{ticket['id']}/edit"
    form = ana.get(path).text
    ana.delete_cookie(COOKIE)

    location = ana.post(path, data=hidden(form) | TYPED).headers["Location"]
    page = ana.get(sign_in(ana, location).headers["Location"]).text

    assert hidden(page).keys() == hidden(form).keys()
    assert {name: value for name, value in hidden(page).items() if name != "csrf_token"} == {
        name: value for name, value in hidden(form).items() if name != "csrf_token"
    }
    check_listed_when_the_button_is_pressed_again(ana, page, services, path)


@pytest.mark.parametrize(
    ("path", "page"),
    [("/tickets/{}/buy", "/tickets/{}"), ("/tickets/{}/withdraw", "/tickets/{}"), ("/account/password", "/account")],
)
def test_a_button_pressed_too_late_leads_back_to_its_page(ana, ticket, services, path, page):
    calls = len(services.calls)

    answer = ana.post(path.format(ticket["id"]), data={"csrf_token": "old", "currentPassword": "secret"})

    assert (answer.status_code, answer.headers["Location"]) == (303, page.format(ticket["id"]))
    assert len(services.calls) == calls
    with ana.session_transaction() as session:
        assert "typed" not in session


def test_buying_after_the_session_ended_leads_through_sign_in_to_the_ticket(visitor, ticket):
    answer = visitor.post(f"/tickets/{ticket['id']}/buy", data={"csrf_token": "old"})

    assert answer.headers["Location"] == f"/signin?next=/tickets/{ticket['id']}"


def test_text_that_fits_into_no_cookie_does_not_cost_the_session(ana):
    ana.post("/sell", data=TYPED | {"title": "".join(map(chr, range(0x4E00, 0x4E00 + 4000))), "csrf_token": "old"})

    assert len(ana.get_cookie(COOKIE).value) < 4000
    assert ana.get("/selling").status_code == 200


def test_text_that_fits_into_the_cookie_before_signing_in_alone_does_not_prevent_it(ana):
    title = "".join(map(chr, Random(1).choices(range(0x4E00, 0x9000), k=920)))  # hardly compressed
    ana.delete_cookie(COOKIE)
    refused = ana.post("/sell", data=TYPED | {"title": title, "csrf_token": "old"})
    assert len(ana.get_cookie(COOKIE).value) > 3500

    sign_in(ana, refused.headers["Location"])

    assert len(ana.get_cookie(COOKIE).value) < 4000
    assert ana.get("/selling").status_code == 200


def test_of_several_long_forms_the_newest_is_kept_when_signing_in(ana, ticket):
    edit = f"/tickets/{ticket['id']}/edit"  # its address comes after the other's in the alphabet
    title = "".join(map(chr, Random(1).choices(range(0x4E00, 0x9000), k=460)))  # hardly compressed
    ana.delete_cookie(COOKIE)
    for path, text in ((edit, title), ("/sell", title[::-1])):
        refused = ana.post(path, data=TYPED | {"title": text, "csrf_token": "old"})

    sign_in(ana, refused.headers["Location"])

    assert title[::-1] in ana.get("/sell").text


def test_text_of_the_longest_kind_fits_into_the_cookie(ana):
    longest = "".join(map(chr, range(0x4E00, 0x4E00 + 1800, 9)))
    typed = TYPED | {"title": longest, "venue": longest[::-1]}

    ana.post("/sell", data=typed | {"csrf_token": "old"})

    assert len(longest) == 200 and shown(ana.get("/sell").text) == typed


def test_who_presses_sign_out_after_the_session_ended_is_not_asked_to_sign_in(ana):
    ana.delete_cookie(COOKIE)

    answer = ana.post("/signout", data={"csrf_token": "old"})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "You are signed out." in ana.get("/").text


def test_who_presses_sign_out_in_a_tab_older_than_the_session_is_signed_out(ana):
    ana.post("/signout", data={"csrf_token": "old"})

    assert ana.get("/selling").status_code == 303


def test_sign_up_form_sent_twice_signs_up_once_and_leads_on(visitor, services):
    new = {"email": "cy@example.com", "password": "cy and a word", "next": "/sell"}
    form = visitor.get("/signup").text

    answers = [visitor.post("/signup", data={**new, "csrf_token": token(form)}) for _ in range(2)]

    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [(303, "/sell")] * 2
    assert visitor.get("/sell").status_code == 200
    guess = visitor.post("/signup", data={**new, "password": "a guess of it", "csrf_token": "old"})
    assert (guess.status_code, "Email in use" in guess.text) == (400, True)


@pytest.mark.parametrize("page", ["/signin", "/signup"])
def test_two_tabs_opened_at_once_without_a_cookie_both_work(app, visitor, ana, page):
    other = app.test_client()
    first, second = visitor.get(page).text, other.get(page).text
    visitor.set_cookie(COOKIE, other.get_cookie(COOKIE).value)  # the later answer's cookie wins
    new = {"email": "cy@example.com", "password": "cy and a word"}
    users = [ANA, ANA] if page == "/signin" else [new, {**new, "email": "di@example.com"}]

    answers = [
        visitor.post(page, data={**user, "csrf_token": token(form)})
        for user, form in zip(users, (first, second), strict=True)
    ]

    assert [answer.status_code for answer in answers] == [303, 303]


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}]
)
def test_sign_in_without_a_token_is_refused_unless_the_browser_vouches_for_it(client, ana, headers):
    assert client.post("/signin", data=ANA, headers=headers).status_code == 403


def test_notice_is_shown_once_however_many_tabs_lead_to_sign_in(visitor):
    pages = [visitor.get(visitor.get(path).headers["Location"]).text for path in ("/sell", "/my/tickets", "/selling")]
    visitor.get("/sell"), visitor.get("/my/tickets")
    last = visitor.get("/signin?next=/sell").text

    assert [page.count("Sign in to continue") for page in (*pages, last)] == [1] * 4
    assert "Sign in to continue" not in visitor.get("/").text


def test_same_notice_of_two_tabs_is_shown_once(ana):
    for _ in range(2):
        ana.post("/sell", data=TYPED | {"csrf_token": "old"})

    assert ana.get("/sell").text.count("This form was too old") == 1
    assert "This form was too old" not in ana.get("/sell").text


@pytest.mark.parametrize(
    ("host", "origin", "is_own"),
    [
        ("localhost:443", "https://localhost", True),
        ("LOCALHOST:443", "https://localhost:443", True),
        ("localhost:80", "http://localhost", True),
        ("localhost:8000", "http://localhost:8000", True),
        ("[::1]:443", "https://[::1]", True),
        ("localhost:443", "https://localhost:8443", False),
        ("localhost:8000", "http://localhost", False),
        ("localhost:443", "http://localhost", False),
        ("localhost:443", "http://localhost:443", False),
        ("localhost", "ftp://localhost", False),
    ],
)
def test_a_port_that_goes_without_saying_is_the_same_site(client, host, origin, is_own):
    answer = client.post("/api/users/signout", headers={"Host": host, "Origin": origin})

    assert answer.status_code == (200 if is_own else 403)


def test_cookie_has_a_name_that_no_other_program_on_this_machine_uses(client):
    assert client.get("/signin").headers["Set-Cookie"].startswith("ticketing-session=")


def test_every_form_without_a_page_of_its_own_is_on_the_page_above_it(app):
    rules = [rule for rule in app.url_map.iter_rules() if not rule.rule.startswith("/api/")]
    pages = {rule.rule for rule in rules if "GET" in rule.methods}
    forms = {rule.rule for rule in rules if "POST" in rule.methods and "GET" not in rule.methods}

    assert {form for form in forms if (form.rpartition("/")[0] or "/") not in pages} == set()
