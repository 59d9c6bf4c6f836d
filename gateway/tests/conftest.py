"""The gateway with fake services, and test clients that act as browsers."""

import re
from functools import cache

import pytest
from flask.testing import FlaskClient
from jinja2 import BytecodeCache

from gateway import reservations, sellers
from gateway.app import create_app
from gateway.services import Services
from gateway.session_uses import SessionUses
from gateway.settings import Settings
from gateway.tests.fakes import SETTINGS, FakeServices, never_revoked


class Compiled(BytecodeCache):
    """The templates as this process has compiled them, once for all of the gateways that it builds."""

    def __init__(self):
        self._code = {}

    def load_bytecode(self, bucket):
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket):
        self._code[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


@cache
def build_app(**settings):
    """Return the gateway with these settings, built only once: that takes longer than most tests."""
    app = create_app(FakeServices(), SETTINGS | settings, never_revoked())
    app.test_client_class = Browser
    app.jinja_env.bytecode_cache = COMPILED
    return app


@cache
def gateways_signer():
    return Settings.read(SETTINGS).signer


def create_test_app(services, revocations, **settings):
    """Return the gateway that was built with these settings, from now on in front of a test's services."""
    app = build_app(**settings)
    app.extensions["services"] = called = Services(lambda: services, gateways_signer())
    reservations.register(app, lambda: called)
    app.extensions["revocations"], app.extensions["sellers"] = revocations, sellers.Known(sellers.MOST)
    app.extensions["session_uses"] = SessionUses(lambda used: called.call_as_gateway("auth.note_sessions", used=used))
    return app


@pytest.fixture
def services():
    return FakeServices()


@pytest.fixture
def revocations(services):
    return services.revocations()


@pytest.fixture
def app(services, revocations):
    return create_test_app(services, revocations)


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def sign_up(app):
    """Return a function that signs a new user up and returns their browser."""

    def sign_up(name):
        browser = app.test_client()
        browser.post("/api/users/signup", json={"email": f"{name}@example.com", "password": f"{name} and a word"})
        return browser

    return sign_up


@pytest.fixture
def ana(sign_up):
    """The seller."""
    return sign_up("ana")


@pytest.fixture
def bo(sign_up):
    """The buyer."""
    return sign_up("bo")


@pytest.fixture
def ticket(ana):
    """Ana's ticket."""
    return ana.post("/api/tickets", json={"title": "Hamlet, row 3", "price": 19.99}).json


class Browser(FlaskClient):
    """A test client that fills in forms as a browser does, hidden fields included."""

    def submit(self, page, action=None, **typed):
        """Open `page`, and send its form with this `action` (by default the page itself)."""
        shown = self.get(page).text
        form = re.search(rf'<form[^>]*action="{re.escape(action or page)}".*?</form>', shown, re.DOTALL)
        assert form, f"{page} has no form for {action or page}"
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.group()))
        return self.post(action or page, data=hidden | typed)
