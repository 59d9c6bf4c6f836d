"""Passkeys in Chromium with its virtual authenticator: the gateway's pages and the auth service, in this process."""

import secrets
import threading
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect
from werkzeug.serving import make_server

from auth.service import AuthService
from dev.stack.ports import free_ports
from gateway.app import create_app
from gateway.tests.fakes import SETTINGS, never_revoked
from tests.in_process import services_in_process

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module")
def site(servers):
    port = free_ports().gateway
    url = f"http://localhost:{port}"
    with services_in_process(servers, services=(AuthService,), PUBLIC_URL=url) as (client, _):
        app = create_app(client, SETTINGS | {"PUBLIC_URL": url}, never_revoked())
        server = make_server("127.0.0.1", port, app, threaded=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield SimpleNamespace(url=url, app=app, port=port)
        server.shutdown()
        server.server_close()


@pytest.fixture
def visit(browser, site):
    """Return a function that opens a page of somebody who has just signed up, on a device that makes passkeys."""
    contexts, violations = [], []

    def visit(host="localhost"):
        ana = site.app.test_client()
        email = f"ana-{secrets.token_hex(6)}@example.org"
        assert (
            ana.post("/api/users/signup", json={"email": email, "password": "correct horse battery"}).status_code == 201
        )
        url = f"http://{host}:{site.port}"
        context = browser.new_context(base_url=url)
        contexts.append(context)
        name = "ticketing-session"
        context.add_cookies([{"name": name, "value": ana.get_cookie(name).value, "url": url}])
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", lambda line: violations.append(line.text) if "Content Security" in line.text else None)
        device = context.new_cdp_session(page)
        device.send("WebAuthn.enable")
        device.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
        return page

    yield visit
    for context in contexts:
        context.close()
    assert violations == []


def sign_out(page):
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/")  # the tickets, which nobody serves here


def test_passkey_is_made_signs_in_confirms_and_is_removed(visit):
    page = visit()
    page.goto("/account/security")
    page.get_by_label("Name of the new passkey").fill("Ana's laptop")

    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("Your passkey is added")).to_be_visible()
    sign_out(page)
    page.goto("/signin?next=/account")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("You are signed in as")).to_be_visible()
    page.goto("/account/confirm")
    page.get_by_role("button", name="Confirm with a passkey").click()
    expect(page.get_by_text("Confirmed. You can make changes")).to_be_visible()
    expect(page.get_by_text("Ana's laptop").first).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("The passkey is removed here")).to_be_visible()
    sign_out(page)
    page.goto("/signin")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("This passkey is not known here")).to_be_visible()


def test_passkeys_are_not_offered_at_another_address_of_the_site(visit, site):
    page = visit("127.0.0.1")
    page.goto("/account/security")

    expect(page.get_by_text(f"Passkeys work at {site.url}")).to_be_visible()
    expect(page.get_by_role("button", name="Add a passkey")).to_be_hidden()
