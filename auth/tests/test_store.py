from datetime import timedelta

import pytest

from auth.domain import KNOWN_ADDRESSES, EmailInUse
from auth.store import UserStore
from libs.clock import utc_now
from libs.events import VersionConflict
from libs.tokens import Claims


@pytest.fixture
def store(mongo):
    store = UserStore(mongo)
    store.create_indexes()
    return store


@pytest.fixture
def ana(store):
    return store.add("ana@example.org", "hash 1", "home")


def test_an_email_belongs_to_one_user(store, ana):
    with pytest.raises(EmailInUse):
        store.add(ana["email"], "hash 2", "elsewhere")


def test_ending_all_sessions_announces_it_in_the_same_write(store, ana, mongo):
    store.revoke_all(ana, password_hash="hash 2")

    kept = mongo.users.find_one({"_id": ana["id"]})
    (pending,) = kept["outbox"]
    assert (kept["password_hash"], kept["generation"]) == ("hash 2", 1)
    assert (pending["name"], pending["body"]["user_id"], pending["body"]["generation"]) == (
        "SessionRevoked",
        ana["id"],
        1,
    )


def test_of_two_who_change_a_password_at_once_one_wins(store, ana):
    store.revoke_all(ana, password_hash="hash 2")

    with pytest.raises(VersionConflict):
        store.revoke_all(ana, password_hash="hash 3")

    assert store.find(ana["id"])["password_hash"] == "hash 2"


def test_a_sign_in_that_overlaps_a_change_of_password_begins_a_session_that_has_ended(store, ana):
    read_before = store.find_by_email(ana["email"])
    store.revoke_all(ana, password_hash="hash 2")

    assert store.is_revoked("its session", ana["id"], read_before["generation"])


def test_rehashing_never_restores_a_password_that_was_changed(store, ana):
    store.revoke_all(ana, password_hash="hash 2")

    store.replace_hash(ana, "hash 1 with other parameters")

    assert store.find(ana["id"])["password_hash"] == "hash 2"


def test_no_more_than_the_latest_addresses_are_remembered(store, ana):
    for number in range(KNOWN_ADDRESSES + 5):
        store.remember_address(store.find(ana["id"]), f"address {number}")

    kept = store.find(ana["id"])["addresses"]
    assert (len(kept), kept[-1]) == (KNOWN_ADDRESSES, f"address {KNOWN_ADDRESSES + 4}")


def test_plain_hashes_of_addresses_are_forgotten_at_the_next_sign_in(store):
    plain, keyed = "0" * 32, ["0" * 64, "1" * 64]
    user = store.add("bo@example.org", "hash 1", plain)

    for address in keyed:
        store.remember_address(store.find(user["id"]), address)

    assert store.find(user["id"])["addresses"] == keyed


def test_list_of_revoked_users_has_those_whose_tokens_have_not_expired(store, ana, mongo):
    store.revoke_all(ana)
    assert [ended["id"] for ended in store.list_users_revoked(utc_now(), "", 10)] == [ana["id"]]

    mongo.users.update_one({"_id": ana["id"]}, {"$set": {"ended_until": utc_now()}})

    assert store.list_users_revoked(utc_now(), "", 10) == []


def test_list_of_revoked_sessions_comes_in_pages(store):
    until = utc_now() + timedelta(hours=1)
    for number in range(5):
        store.revoke(Claims("auth", "ana", f"session {number}", 0, 0), until)
    store.revoke(Claims("auth", "ana", "session of long ago", 0, 0), utc_now())

    first = store.list_revoked(utc_now(), "", 3)
    rest = store.list_revoked(utc_now(), first[-1]["id"], 3)

    assert [ended["id"] for ended in first + rest] == [f"session {number}" for number in range(5)]
