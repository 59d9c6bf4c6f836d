"""Sessions that were ended early, as known to one process."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from gateway.revocations import PRUNE_SECONDS, Revocations
from libs.rpc import ServiceUnavailable
from libs.tokens import Claims

LATER = datetime.now(UTC) + timedelta(hours=1)


def session(ident, user="ana", generation=0):
    return Claims("auth", user, ident, 0, 43200, generation=generation)


def unavailable(_claims):
    raise ServiceUnavailable("auth")


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def known(clock):
    return Revocations(unavailable, lambda: clock[0])


def test_no_session_is_accepted_before_the_list_is_loaded(known):
    with pytest.raises(ServiceUnavailable):
        known.is_revoked(session("s1"))


def test_current_list_decides_without_asking_auth(known):
    known.load([{"id": "s1", "expires_at": LATER.isoformat()}])
    known.mark_current()

    assert (known.is_revoked(session("s1")), known.is_revoked(session("s2"))) == (True, False)


def test_list_is_current_for_two_seconds_after_it_was_confirmed(known, clock):
    known.mark_current()
    clock[0] += 2

    assert known.is_revoked(session("s1")) is False

    clock[0] += 0.1
    with pytest.raises(ServiceUnavailable):
        known.is_revoked(session("s1"))


def test_known_revocation_needs_no_connection(known):
    known.add("s1", LATER.timestamp())

    assert known.is_revoked(session("s1")) is True


def test_auth_is_asked_while_the_list_may_be_out_of_date():
    known = Revocations(lambda claims: claims.session_id == "s1")

    assert (known.is_revoked(session("s1")), known.is_revoked(session("s2"))) == (True, False)


def test_sessions_are_dropped_once_their_token_has_expired(known, clock):
    known.add("old", 1.0)
    clock[0] += PRUNE_SECONDS
    known.add("new", LATER.timestamp())

    assert list(known._sessions) == ["new"]


def test_all_sessions_of_a_user_end_together_and_later_ones_are_accepted(known):
    known.load([{"id": "ana", "generation": 2, "expires_at": LATER.isoformat()}])
    known.mark_current()

    assert known.is_revoked(session("s1", generation=0)) and known.is_revoked(session("s2", generation=1))
    assert not known.is_revoked(session("s3", generation=2))
    assert not known.is_revoked(session("s4", user="bo"))


def test_late_event_of_an_older_generation_changes_nothing(known):
    known.add_user("ana", 2, LATER.timestamp())
    known.add_user("ana", 1, LATER.timestamp())

    assert known.is_revoked(session("s1", generation=1))


def test_users_are_dropped_once_their_older_tokens_have_expired(known, clock):
    known.add_user("ana", 1, 1.0)
    clock[0] += PRUNE_SECONDS
    known.add_user("bo", 1, LATER.timestamp())

    assert list(known._users) == ["bo"]


def test_ending_a_session_waits_for_the_broadcast_of_auths_event(known):
    known.mark_current()
    event = {"id": "s1", "user_id": "ana", "expires_at": LATER.isoformat()}
    timer = threading.Timer(0.05, known.handle_event, [event])

    with known.await_broadcast("s1"):
        timer.start()

    assert known.is_revoked(session("s1"))


def test_ending_a_session_does_not_wait_for_a_lost_event_or_while_disconnected(known, monkeypatch):
    monkeypatch.setattr("gateway.revocations.BROADCAST_SECONDS", 0.01)
    with known.await_broadcast("s1"):
        pass
    known.mark_current()
    with known.await_broadcast("s1"):
        pass

    assert known._awaited == {}
