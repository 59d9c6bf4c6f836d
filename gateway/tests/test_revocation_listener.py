"""Consuming SessionRevoked from a real broker."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from kombu import Connection

from gateway.revocation_listener import EXCHANGE, RevocationListener
from gateway.revocations import Revocations
from libs.amqp.tests.odd import ODDITIES, publish_odd
from libs.rpc import ServiceUnavailable
from libs.tokens import Claims

LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def unavailable(_claims):
    raise ServiceUnavailable("auth")


def is_revoked(known, session_id):
    """Return whether the session is revoked, None while that is unknown."""
    try:
        return known.is_revoked(Claims("auth", "ana", session_id, 0, 43200))
    except ServiceUnavailable:
        return None


def wait_for(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "timed out"
        time.sleep(0.02)


@pytest.fixture
def known(amqp_url):
    """Revocations of a listener that has just loaded auth's list, in which s0 is revoked."""
    known = Revocations(unavailable)
    listener = RevocationListener(amqp_url, known, lambda: [{"id": "s0", "expires_at": LATER}])
    listener.start()
    wait_for(lambda: is_revoked(known, "s1") is False)
    yield known
    listener.stop()


def test_list_of_auth_is_known_from_the_start(known):
    assert is_revoked(known, "s0") is True


def test_revoked_session_is_received(known, amqp_url):
    body = {"id": "s1", "version": 1, "user_id": "u1", "expires_at": LATER}
    with Connection(amqp_url) as connection:
        connection.Producer().publish(body, exchange=EXCHANGE, routing_key="SessionRevoked")

    wait_for(lambda: is_revoked(known, "s1"))


@pytest.mark.parametrize("odd", [*ODDITIES, "no such event"])
def test_sign_out_takes_effect_after_one_that_cannot_be_read(known, amqp_url, odd):
    publish_odd(amqp_url, odd, "auth.events", "SessionRevoked", b'{"id": "s0"}')
    wait_for(lambda: is_revoked(known, "s1") is False)

    test_revoked_session_is_received(known, amqp_url)


def test_end_of_all_sessions_of_a_user_is_received(known, amqp_url):
    body = {"id": "ana", "version": 2, "user_id": "ana", "generation": 1, "expires_at": LATER}
    with Connection(amqp_url) as connection:
        connection.Producer().publish(body, exchange=EXCHANGE, routing_key="SessionRevoked")

    wait_for(lambda: is_revoked(known, "any"))


def test_quiet_connection_stays_current_by_its_heartbeats(known):
    until = time.monotonic() + 4

    while time.monotonic() < until:
        assert is_revoked(known, "s1") is False
        time.sleep(0.05)


def test_no_session_is_accepted_while_the_list_cannot_be_loaded(amqp_url):
    known = Revocations(unavailable)
    listener = RevocationListener(amqp_url, known, lambda: unavailable(None))

    listener.start()
    time.sleep(0.5)
    listener.stop()

    assert is_revoked(known, "s1") is None
