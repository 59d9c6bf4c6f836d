import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from auth.domain import KNOWN_ADDRESSES, EmailInUse
from auth.store import KEPT, UserStore, renew_emails
from libs.clock import utc_now
from libs.events import VersionConflict
from libs.schema import migrate


@pytest.fixture
def mongo(emptied):
    return emptied


@pytest.fixture
def store(mongo):
    migrate(mongo, UserStore.schema)
    return UserStore(mongo)


@pytest.fixture
def ana(store):
    return store.add("ana@example.org", "hash 1", "home")


def test_an_email_belongs_to_one_user(store, ana):
    with pytest.raises(EmailInUse):
        store.add(ana["email"], "hash 2", "elsewhere")


def test_others_learn_the_month_in_which_somebody_signed_up_and_not_the_moment(store, ana):
    signed_up = store.find(ana["id"])["created_at"]

    assert store.profiles([ana["id"]]) == [{"id": ana["id"], "name": None, "member_since": f"{signed_up:%Y-%m}"}]


def test_ids_of_users_tell_neither_when_they_signed_up_nor_who_did_next(store):
    ids = [store.add(f"{number}@example.org", "hash 1", "home")["id"] for number in range(5)]

    assert len({ident[:8] for ident in ids}) == 5 and all(re.fullmatch("[0-9a-f]{24}", ident) for ident in ids)


def test_older_addresses_are_renewed_unless_somebody_else_has_the_renewed_one(store, ana, mongo):
    for email in ("bo\u200b@example.org", "jose\u0301@example.org", "ana\ufeff@example.org"):
        store.add(email, "hash 1", "home")

    assert [renew_emails(mongo), renew_emails(mongo)] == [2, 0]
    kept = {user["email"] for user in mongo.users.find()}
    assert kept == {"ana@example.org", "bo@example.org", "jos\u00e9@example.org", "ana\ufeff@example.org"}


def test_user_of_an_earlier_version_with_an_umlaut_in_the_domain_is_found_in_every_browser(store, mongo):
    karl = store.add("karl@m\u00fcller.de", "hash 1", "home")["id"]

    assert renew_emails(mongo) == 1
    found = [store.find_by_email(f"karl@{host}")["id"] for host in ("M\u00fcller.de", "xn--mller-kva.de")]
    assert found == [karl, karl]
    with pytest.raises(EmailInUse):
        store.add("karl@xn--mller-kva.de", "hash 2", "elsewhere")


def test_who_has_an_account_for_each_form_of_the_address_keeps_both(store, mongo):
    addresses = ["karl@m\u00fcller.de", "karl@xn--mller-kva.de"]
    accounts = [store.add(address, "hash 1", "home")["id"] for address in addresses]

    assert renew_emails(mongo) == 0
    assert [store.find_by_email(address)["id"] for address in addresses] == accounts


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


def end_session(store, ident, until=None):
    """End a session; return its number."""
    return store.revoke(ident, "ana", until or utc_now() + timedelta(hours=1))


def test_ended_sessions_are_numbered_and_listed_by_their_numbers(store):
    numbers = [end_session(store, f"session {number}") for number in range(5)]

    first = store.list_revoked(0, 3)
    rest = store.list_revoked(first[-1]["number"], 3)

    assert [(ended["id"], ended["number"]) for ended in first + rest] == [
        (f"session {index}", number) for index, number in enumerate(numbers)
    ]
    assert numbers == sorted(set(numbers))


def test_session_that_is_ended_again_keeps_its_number(store, mongo):
    number = end_session(store, "s1")
    end_session(store, "s2")

    assert end_session(store, "s1") == number
    assert mongo.revoked_sessions.find_one({"_id": "s1"})["version"] == 1


def test_sessions_that_are_ended_at_the_same_moment_have_different_numbers(store):
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda number: end_session(store, f"s{number}"), range(24)))

    assert sorted(numbers) == list(range(1, 25))


def test_users_whose_sessions_were_ended_are_numbered_and_move_up_when_they_do_it_again(store, ana):
    bo = store.add("bo@example.org", "hash 1", "home")
    ana = store.revoke_all(ana)
    store.revoke_all(bo)
    store.revoke_all(ana)

    listed = store.list_users_revoked(0, 10)

    assert [(ended["id"], ended["generation"], ended["number"]) for ended in listed] == [
        (bo["id"], 1, 2),
        (ana["id"], 2, 3),
    ]


def test_numbers_are_never_used_again_after_what_had_them_has_expired(store, mongo):
    end_session(store, "long ago", utc_now() - 2 * KEPT)
    mongo.revoked_sessions.update_one({}, {"$unset": {"outbox_at": ""}})  # its event is published
    newest = end_session(store, "ago", utc_now() - 2 * KEPT)
    mongo.revoked_sessions.update_one({"_id": "ago"}, {"$unset": {"outbox_at": ""}})

    assert mongo.revoked_sessions.distinct("_id") == ["ago"]
    assert end_session(store, "now") == newest + 1
    assert mongo.revoked_sessions.distinct("_id") == ["now"]


def test_a_session_stays_ended_although_the_clock_of_an_auth_is_in_another_time_zone(store, mongo, monkeypatch):
    end_session(store, "s1", utc_now() + timedelta(hours=1))
    mongo.revoked_sessions.update_one({}, {"$unset": {"outbox_at": ""}})  # its event is published

    monkeypatch.setattr("auth.store.utc_now", lambda: utc_now() + timedelta(hours=14))
    end_session(store, "s2")

    assert store.is_revoked("s1", "ana", 0)


def test_an_answered_challenge_is_remembered_although_the_clock_of_an_auth_is_in_another_time_zone(
    store, mongo, monkeypatch
):
    monkeypatch.setattr("auth.factors.utc_now", lambda: utc_now() - timedelta(hours=14))

    assert store.factors.use_challenge("a challenge")

    assert mongo.used_challenges.find_one()["forget_at"] > utc_now() + timedelta(hours=1)  # when MongoDB deletes it


def test_users_are_no_longer_listed_after_their_tokens_have_expired(store, ana, mongo):
    bo = store.add("bo@example.org", "hash 1", "home")
    ana = store.revoke_all(ana)
    mongo.users.update_one({"_id": ana["id"]}, {"$set": {"ended_until": utc_now() - 2 * KEPT}})

    bo = store.revoke_all(bo)

    assert [ended["id"] for ended in store.list_users_revoked(0, 10)] == [bo["id"]]
    assert store.is_revoked("its session", ana["id"], 0)
    assert store.revoke_all(ana)["revocation_no"] == 3


def test_what_was_ended_before_there_were_numbers_is_numbered(store, ana, mongo):
    store.revoke_all(ana)
    end_session(store, "s1")
    for collection in (mongo.users, mongo.revoked_sessions):
        collection.update_many({}, {"$unset": {"revocation_no": ""}})
    mongo.revoked_sessions.create_index("expires_at", expireAfterSeconds=60)

    migrate(mongo, UserStore.schema)

    assert [ended["id"] for ended in store.list_revoked(0, 10)] == ["s1"]
    assert [ended["id"] for ended in store.list_users_revoked(0, 10)] == [ana["id"]]
    assert not any("expireAfterSeconds" in index for index in mongo.revoked_sessions.index_information().values())


def test_sign_out_waits_for_each_process_that_asked_until_it_knows_or_its_time_is_over(store, mongo):
    store.followers.record_poll("one", sessions=4, users=0)
    store.followers.record_poll("two", sessions=5, users=0)
    assert not store.followers.all_know("sessions", 5) and store.followers.all_know("sessions", 4)

    mongo.followers.update_one({"_id": "one"}, {"$set": {"until": utc_now() - timedelta(seconds=1)}})

    assert store.followers.all_know("sessions", 5) and not store.followers.all_know("users", 1)
