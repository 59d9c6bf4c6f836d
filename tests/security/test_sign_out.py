"""Signing out of two processes of the gateway and one of a service, while what it needs is stalled or loses events."""

import secrets
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from kombu import Connection
from pymongo import MongoClient

from auth.store import UserStore
from dev.testing import nameko_service, new_database, new_vhost, wait_for
from gateway.app import create_app
from gateway.tests.fakes import AUTH_PRIVATE, PUBLIC_KEYS, SETTINGS
from libs.revocation_listener import EXCHANGE
from libs.revocations import TRUST_SECONDS
from libs.rpc import Client, RemoteError, ServiceUnavailable
from libs.schema import migrate
from libs.tests.tcp_proxy import TcpProxy
from libs.tokens import new_key
from tickets.store import TicketStore

PASSWORD = "correct horse battery"
COOKIE = "ticketing-session"
TICKETS_PRIVATE, TICKETS_PUBLIC = new_key("tickets:1")
KNOWN_KEYS = f"{PUBLIC_KEYS},{TICKETS_PUBLIC}"
SIGN_OUTS = {
    "/api/users/signout": {},
    "/api/users/signout-everywhere": {},
    "/api/users/password": {"currentPassword": PASSWORD, "newPassword": "another long one"},
}


OPEN, REFUSED, UNKNOWN = "open", "refused", "unknown"
OUTCOMES = {200: OPEN, 303: REFUSED, 503: UNKNOWN}


class Site:
    """Two processes of the gateway (here threads, with all that a process has of its own), auth and tickets."""

    def __init__(self, gateways, auth, proxy, database, amqp_url, client):
        self.gateways, self.auth, self.proxy, self.database, self.amqp_url = gateways, auth, proxy, database, amqp_url
        self.client = client

    def wait_until_current(self):
        lists = [gateway.extensions["revocations"] for gateway in self.gateways]
        wait_for(lambda: all(known.is_current for known in lists), 10, "current lists")
        counted = {"until": {"$gt": datetime.now(UTC)}}
        wait_for(lambda: self.database.followers.count_documents(counted) >= 3, 10, "tickets to follow")

    def go_on(self):
        """Let what was stalled go on."""
        self.auth.send_signal(signal.SIGCONT)
        self.proxy.go_on()

    def sign_up(self):
        """Return the browser, at the first gateway, of somebody who has just signed up."""
        browser = self.gateways[0].test_client()
        person = {"email": f"ana-{secrets.token_hex(4)}@example.com", "password": PASSWORD}
        assert browser.post("/api/users/signup", json=person).status_code == 201
        return browser

    def outcomes(self, cookie):
        """Return what each gateway makes of a cookie, without asking another part, and tickets of the token in it."""
        return [*(self._at_gateway(gateway, cookie) for gateway in self.gateways), self._at_tickets(cookie)]

    def _at_gateway(self, gateway, cookie):
        thief = gateway.test_client()
        thief.set_cookie(COOKIE, cookie)
        return OUTCOMES[thief.get("/sell").status_code]

    def _at_tickets(self, cookie):
        gateway = self.gateways[0]
        token = gateway.session_interface.get_signing_serializer(gateway).loads(cookie)["token"]
        try:
            self.client.call("tickets", "list_mine", token=token)
            return OPEN
        except ServiceUnavailable:
            return UNKNOWN
        except RemoteError as error:
            return {"Unauthenticated": REFUSED}[error.name]

    def lose_events(self):
        """Delete the exchange of auth's events, and with it all bindings."""
        with Connection(self.amqp_url) as connection:
            connection.channel().exchange_delete(EXCHANGE)


@pytest.fixture(scope="module")
def running(servers):
    with ExitStack() as stack:
        amqp_url, mongo_url, tickets_url = (
            stack.enter_context(new(servers)) for new in (new_vhost, new_database, new_database)
        )
        database = stack.enter_context(MongoClient(mongo_url)).get_default_database()
        migrate(database, UserStore.schema)
        migrate(stack.enter_context(MongoClient(tickets_url)).get_default_database(), TicketStore.schema)
        proxy = stack.enter_context(closing(TcpProxy(mongo_url)))
        auth = {
            "AMQP_URI": amqp_url,
            "MONGO_URL": f"{proxy.url}&directConnection=true",  # and not the replica set's own address
            "SIGNING_KEY": AUTH_PRIVATE,
            "TOKEN_PUBLIC_KEYS": KNOWN_KEYS,
            "SIGN_UPS_PER_ADDRESS": 100,
            "ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "PUBLIC_URL": "http://localhost:8000",
        }
        tickets = {
            "AMQP_URI": amqp_url,
            "MONGO_URL": tickets_url,
            "SIGNING_KEY": TICKETS_PRIVATE,
            "TOKEN_PUBLIC_KEYS": KNOWN_KEYS,
            "CURRENCY": "usd",
        }
        process = stack.enter_context(nameko_service("auth.service:AuthService", "rpc-auth", **auth))
        stack.enter_context(nameko_service("tickets.service:TicketsService", "rpc-tickets", **tickets))
        client = stack.enter_context(closing(Client(amqp_url, "gateway")))
        gateways = [create_app(settings=SETTINGS | {"GATEWAY_AMQP_URL": amqp_url}) for _ in range(2)]
        for gateway in gateways:
            stack.callback(gateway.extensions["services"].client.close)
            for begin in gateway.before_request_funcs[None]:
                if stop := getattr(getattr(begin, "__self__", None), "stop", None):
                    stack.callback(stop)  # background threads that the first request starts
            gateway.test_client().get("/healthz")
        yield Site(gateways, process, proxy, database, amqp_url, client)


@pytest.fixture
def site(running):
    running.wait_until_current()
    yield running
    running.go_on()


def cookie_of(browser):
    return browser.get_cookie(COOKIE).value


@pytest.mark.parametrize("path", SIGN_OUTS)
def test_session_is_refused_everywhere_from_the_moment_that_sign_out_was_answered(site, path):
    browser = site.sign_up()
    stolen = cookie_of(browser)
    assert site.outcomes(stolen) == [OPEN] * 3

    assert browser.post(path, json=SIGN_OUTS[path]).status_code == 200

    assert site.outcomes(stolen) == [REFUSED] * 3


@pytest.mark.parametrize("path", SIGN_OUTS)
def test_session_is_refused_everywhere_after_a_sign_out_whose_events_are_lost(site, path):
    browser = site.sign_up()
    stolen = cookie_of(browser)
    site.lose_events()

    assert browser.post(path, json=SIGN_OUTS[path]).status_code == 200

    assert site.outcomes(stolen) == [REFUSED] * 3


def test_cookie_opens_nothing_after_a_sign_out_that_auth_committed_before_it_stalled(site):
    browser = site.sign_up()
    stolen = cookie_of(browser)
    site.lose_events()
    before = site.database.revoked_sessions.count_documents({})

    with ThreadPoolExecutor(1) as pool:
        signing_out = pool.submit(browser.post, "/api/users/signout", json={})
        wait_for(lambda: site.database.revoked_sessions.count_documents({}) > before, 10, "the sign-out")
        site.auth.send_signal(signal.SIGSTOP)
        answer = signing_out.result(20)

    assert answer.status_code in (200, 503)
    if answer.status_code == 200:
        assert OPEN not in site.outcomes(stolen)


@pytest.mark.parametrize("stalled", ["auth", "MongoDB"])
def test_sign_out_that_is_not_certain_is_503_and_is_effective_everywhere_when_repeated(site, stalled):
    browser = site.sign_up()
    stolen = cookie_of(browser)
    if stalled == "auth":
        site.auth.send_signal(signal.SIGSTOP)
    else:
        site.proxy.stall()

    answer = browser.post("/api/users/signout", json={})
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert cookie_of(browser) == stolen
    site.go_on()

    wait_for(lambda: browser.post("/api/users/signout", json={}).status_code == 200, 20, "the sign-out")
    assert site.outcomes(stolen) == [REFUSED] * 3


def test_no_process_accepts_anybody_for_long_while_auth_is_stalled(site):
    cookie = cookie_of(site.sign_up())
    site.auth.send_signal(signal.SIGSTOP)

    wait_for(lambda: site.outcomes(cookie) == [UNKNOWN] * 3, 4 * TRUST_SECONDS, "503")
