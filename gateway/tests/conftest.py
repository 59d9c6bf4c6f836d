"""The gateway with fake services, and test clients that act as browsers."""

import re

import pytest
from flask.testing import FlaskClient
from jinja2 import BytecodeCache

from gateway.app import create_app
from gateway.tests.fakes import SETTINGS, FakeServices


class CompiledTemplates(BytecodeCache):
    """Templates that one application has compiled, for those of the tests that follow."""

    def __init__(self):
        self.compiled = {}

    def load_bytecode(self, bucket):
        if bucket.key in self.compiled:
            bucket.bytecode_from_string(self.compiled[bucket.key])

    def dump_bytecode(self, bucket):
        self.compiled[bucket.key] = bucket.bytecode_to_string()


COMPILED_TEMPLATES = CompiledTemplates()


@pytest.fixture
def services():
    return FakeServices()


@pytest.fixture
def revocations(services):
    return services.revocations()


@pytest.fixture
def app(services, revocations):
    app = create_app(services, SETTINGS, revocations)
    app.test_client_class = Browser
    app.jinja_env.bytecode_cache = COMPILED_TEMPLATES
    return app


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
