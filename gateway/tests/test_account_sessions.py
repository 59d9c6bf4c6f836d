"""Where a user is signed in: the page, and the same in the API."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.devices import device_name
from gateway.session_uses import QUIET_SECONDS, SessionUses
from gateway.sessions import IDLE_SECONDS
from libs.clock import iso
from libs.rpc import ServiceUnavailable
from libs.tokens import Claims

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)
ANA = {"email": "ana@example.com", "password": "ana and a word"}


@pytest.fixture
def phone(app, ana):
    """Ana's other device."""
    browser = app.test_client()
    answer = browser.post("/api/users/signin", json=ANA, headers={"User-Agent": IPHONE})
    assert answer.status_code == 200
    return browser


def sessions(browser):
    return browser.get("/api/users/sessions").json


def test_user_sees_on_which_devices_from_where_and_since_when_they_are_signed_in(ana, phone):
    ana.get("/", headers={"User-Agent": FIREFOX})

    page = ana.get("/account/sessions").text

    assert "Safari on iPhone" in page and "127.0.0.1" in page
    assert page.count("End session") == 1 and page.count("This device") == 1
    shown = {each["device"]: each for each in sessions(ana)}
    assert [each["current"] for each in shown.values()] == [True, False]
    assert not shown["Safari on iPhone"]["current"]
    assert shown["Safari on iPhone"].keys() == {
        *("id", "device", "address", "startedAt", "lastUsedAt", "expiresAt", "current"),
    }


def test_session_that_nobody_has_used_for_an_hour_is_not_listed(ana, phone, services):
    (other,) = [each["id"] for each in sessions(ana) if not each["current"]]

    def listed(ago):
        services.sessions[other]["used_at"] = iso(datetime.now(UTC) - timedelta(seconds=ago))
        return other in {each["id"] for each in sessions(ana)}

    assert listed(IDLE_SECONDS + QUIET_SECONDS - 60)  # its cookie may say that it was used after that
    assert not listed(IDLE_SECONDS + QUIET_SECONDS)
    assert "Safari on iPhone" not in ana.get("/account/sessions").text


def test_account_page_leads_to_the_sessions(ana):
    assert 'href="/account/sessions"' in ana.get("/account").text


def test_user_ends_the_session_of_a_device_that_is_lost(ana, phone):
    (lost,) = [each["id"] for each in sessions(ana) if not each["current"]]

    answer = ana.submit("/account/sessions", f"/account/sessions/{lost}")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/sessions")
    assert "That session has ended." in ana.get("/account/sessions").text
    assert phone.get("/api/orders").status_code == 401
    assert [each["current"] for each in sessions(ana)] == [True]


def test_user_ends_the_session_of_this_device_and_is_signed_out(ana, phone):
    (own,) = [each["id"] for each in sessions(ana) if each["current"]]

    answer = ana.submit("/account/sessions", f"/account/sessions/{own}")

    assert answer.headers["Location"] == "/"
    assert ana.get("/api/orders").status_code == 401
    assert phone.get("/api/orders").status_code == 200


def test_api_client_ends_a_session_once(ana, phone):
    (other,) = [each["id"] for each in sessions(ana) if not each["current"]]

    assert [ana.delete(f"/api/users/sessions/{other}").status_code for _ in range(2)] == [204, 404]
    assert phone.get("/api/orders").status_code == 401


@pytest.mark.parametrize("ident", ["0" * 32, "x", "0" * 24])
def test_session_that_is_not_ones_own_does_not_exist(ana, bo, ident):
    (bos,) = [each["id"] for each in sessions(bo)]

    answers = [ana.delete(f"/api/users/sessions/{each}") for each in (ident, bos)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert bo.get("/api/orders").status_code == 200


def test_session_that_may_not_have_ended_is_not_called_ended(ana, phone, services):
    (other,) = [each["id"] for each in sessions(ana) if not each["current"]]
    services.unavailable.add("auth.end_session")

    answer = ana.delete(f"/api/users/sessions/{other}")

    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert "That session may not have ended" in answer.text


def test_auth_is_not_told_of_each_request(ana, services):
    ana.get("/account/sessions")
    for _ in range(5):
        ana.get("/account/sessions")

    assert [name for name, _ in services.calls].count("auth.note_sessions") == 1


def test_locked_user_reads_why_they_cannot_sign_in(client, ana, services):
    services.users["ana@example.com"]["locked"] = True

    page = client.submit("/signin", **ANA)

    assert page.status_code == 403
    assert "Your account is locked. Contact us to have it unlocked." in page.text
    assert 'action="/signin"' in page.text
    assert client.post("/api/users/signin", json=ANA).status_code == 403


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_session_is_reported_again_after_some_minutes_and_a_failed_report_is_repeated():
    reported, clock = [], Clock()
    answers = iter([ServiceUnavailable("auth"), None, None])

    def call(uses):
        if problem := next(answers):
            raise problem
        reported.extend(each["id"] for each in uses)

    uses = SessionUses(call, clock)
    uses.note(Claims("auth", "ana", "s1", 0, 43200), FIREFOX, "192.0.2.1")
    with pytest.raises(ServiceUnavailable):
        uses.report()
    uses.report()
    uses.note(Claims("auth", "ana", "s1", 0, 43200), FIREFOX, "192.0.2.1")
    uses.report()
    clock.now += QUIET_SECONDS
    uses.note(Claims("auth", "ana", "s1", 0, 43200), FIREFOX, "192.0.2.1")
    uses.report()

    assert reported == ["s1", "s1"]


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (IPHONE, "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
         "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36",
         "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari/605.1.15",
         "Safari on Mac"),
        ("python-requests/2.32.5", "python-requests"),
        ("curl/8.17.0", "curl"),
        ("", "Unknown device"),
        ("<script>", "Unknown device"),
    ],
)  # fmt: skip
def test_device_has_a_name_that_its_user_knows(user_agent, name):
    assert device_name(user_agent) == name
