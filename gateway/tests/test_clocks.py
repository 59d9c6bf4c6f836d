"""The clocks of gateways, and of the services, differ."""

import time
from contextlib import contextmanager

import pytest

from gateway.tests.fakes import AUTH_PUBLIC
from libs.tokens import MOST_AHEAD_SECONDS, Verifier

CREDENTIALS = {"email": "ana@example.com", "password": "ana and a word"}
NEW_PASSWORD = {"currentPassword": CREDENTIALS["password"], "newPassword": "another and a word"}
UNAVAILABLE = "A part of Ticketing is not answering."


@pytest.fixture
def ahead(monkeypatch):
    """Return a context in which the clock is so many seconds ahead, as on another host."""

    @contextmanager
    def ahead(seconds):
        now = time.time
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now() + seconds)
            yield

    return ahead


@pytest.fixture
def fast_auth(services, ahead):
    """Return a function that lets auth's clock be so many seconds ahead."""

    def fast_auth(seconds):
        mint = services.signer.mint

        def mint_ahead(*arguments, **claims):
            with ahead(seconds):
                return mint(*arguments, **claims)

        services.signer.mint = mint_ahead

    return fast_auth


def user_of(browser):
    user = browser.get("/api/users/currentuser").json["currentUser"]
    return user and user["email"]


@pytest.mark.parametrize("seconds", [1, MOST_AHEAD_SECONDS - 1])
def test_who_signed_in_at_a_gateway_whose_clock_is_ahead_is_signed_in_at_the_others(seconds, sign_up, ahead):
    with ahead(seconds):
        ana = sign_up("ana")

    assert user_of(ana) == "ana@example.com"
    assert ana.get("/account").status_code == 200


@pytest.mark.parametrize("path", ["/api/users/signin", "/api/users/signup", "/api/webhooks/stripe"])
def test_who_has_nothing_to_sign_in_for_is_not_asked_to_when_the_gateways_own_token_is_refused(
    path, client, services, caplog
):
    services.verifiers = dict.fromkeys(services.verifiers, Verifier(AUTH_PUBLIC))

    answer = client.post(path, json=CREDENTIALS)

    assert answer.status_code == 503 and "Retry-After" in answer.headers
    assert "the token of gateway is refused: do keys and clocks agree?" in caplog.text


def test_sign_in_is_503_and_starts_nothing_while_the_clock_of_auth_is_far_ahead(ana, client, fast_auth, caplog):
    fast_auth(MOST_AHEAD_SECONDS + 10)

    api, page = client.post("/api/users/signin", json=CREDENTIALS), client.submit("/signin", **CREDENTIALS)

    assert (api.status_code, page.status_code) == (503, 503)
    assert UNAVAILABLE in api.text and UNAVAILABLE in page.text
    assert "do the hosts' clocks agree?" in caplog.text
    assert user_of(client) is None


def test_who_changes_the_password_while_the_clock_of_auth_is_far_ahead_is_told_to_try_the_new_one(ana, fast_auth):
    fast_auth(MOST_AHEAD_SECONDS + 10)

    answer = ana.post("/api/users/password", json=NEW_PASSWORD)

    assert answer.status_code == 503
    assert "try the new one first" in answer.text
