import random
import string

import pytest
from argon2 import PasswordHasher, extract_parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from zxcvbn import matching, zxcvbn

from auth import passwords, strength
from libs.rpc import ServiceUnavailable


@pytest.fixture
def argon2_runs(monkeypatch):
    """Return the parameters of every hash that a password was compared with."""
    runs, verify = [], passwords._verify

    def counted(stored, password):
        runs.append(extract_parameters(stored))
        return verify(stored, password)

    monkeypatch.setattr(passwords, "_verify", counted)
    return runs


EASY = [
    *("letmein123", "Passw0rd!", "Summer2026!", "Sommer2026!", "Monday2026!", " " * 8, "password" * 8, "qwertyuiop"),
    *("12345678", "Welcome2026!", "1987-05-12", "aaaaaaab", "iloveyou2026", "Liverpool1892", "\0" * 8, "drowssap1"),
]
OWN = ["ana.lopez1", "AnaLopez2026", "LopezAna!", "4na.l0pez!", "zoho-mail", "example.org1"]
HARD = [
    *("x7Kq!m2p", "correct horse battery", "horse-battery-9", "ünïcödé ist erlaubt", "пароль из слов"),
    *("한국어 비밀번호", "ana lopez sells 4 tickets for Hamlet", "4@8({[<369&#!1/|" * 4),
]


@pytest.mark.parametrize("password", EASY)
def test_password_that_is_easy_to_guess_is_refused(password):
    assert passwords.find_weakness(password, "ana@example.org")


@pytest.mark.parametrize("password", OWN)
def test_users_own_email_and_its_parts_are_refused_as_such(password):
    assert passwords.find_weakness(password, "ana.lopez@zoho-mail.example.org").startswith("your email")


@pytest.mark.parametrize("password", ["ticketing", "Ticketing1!", "T1cket1ng!", "Tickets2026", "my ticketing"])
def test_name_of_the_site_is_refused_as_such(password):
    assert passwords.find_weakness(password, "ana@example.org").startswith("the name of this site")


@pytest.mark.parametrize("password", HARD)
def test_password_that_is_hard_to_guess_is_accepted_whatever_is_in_it(password):
    assert passwords.find_weakness(password, "ana.lopez@example.org") is None


def test_random_passwords_are_not_refused():
    chance = random.Random(13)

    for length in range(10, 65):
        password = "".join(chance.choices(string.ascii_letters + string.digits, k=length))
        assert passwords.find_weakness(password, "ana@example.org") is None, password


def test_long_password_that_is_slow_to_read_is_not_read_to_its_end(monkeypatch):
    read = []

    def reading(password, user_inputs):
        read.append(password)
        return zxcvbn(password, user_inputs)

    monkeypatch.setattr(strength, "zxcvbn", reading)
    password = "59g071|{t47 is a long one" * 2

    assert passwords.find_weakness(password, "ana@example.org") is None
    assert read == [password[: strength.READ_CHARACTERS]] and strength.READ_CHARACTERS <= 20


@pytest.mark.parametrize("password", ["4@{(<[369!|1750$+7p%", "59g071|{t47i6!<%([$@" * 3, "({[$d1!|7+({[s51!|b+"])
def test_nobody_waits_for_a_password_full_of_signs_that_may_stand_for_letters(monkeypatch, password):
    """Each way to read the signs takes half a millisecond; without a limit there are 736."""
    readings, translate = [], matching.translate

    def counted(password, letters):
        readings.append(letters)
        return translate(password, letters)

    monkeypatch.setattr(matching, "translate", counted)

    assert passwords.find_weakness(password, "ana@example.org") is None
    assert len(readings) <= 150


def test_a_password_that_begins_with_all_digits_is_not_taken_for_these_alone():
    assert passwords.find_weakness("1234567890!correct horse battery", "ana@example.org") is None
    assert passwords.find_weakness("1234567890", "ana@example.org")


def test_no_known_password_is_too_full_of_signs_to_be_recognised():
    known = {password for words in matching.RANKED_DICTIONARIES.values() for password in words}

    assert max(len(strength.SIGNS.intersection(password)) for password in known) <= strength.READ_SIGNS


@pytest.mark.lengthy
@given(password=st.text(min_size=8, max_size=64), email=st.emails())
@settings(max_examples=100, deadline=None)
def test_every_password_can_be_estimated(password, email):
    assert isinstance(passwords.find_weakness(password, email), str | None)


def test_a_password_is_kept_as_argon2id_with_at_least_owasps_parameters():
    parameters = extract_parameters(passwords.hash_password("correct horse battery"))

    assert parameters.type.name == "ID"
    assert (parameters.memory_cost >= 19 * 1024, parameters.time_cost >= 2) == (True, True)


@pytest.mark.parametrize("password", ["x" * 63 + "ä", "пароль из слов", "a\0b nul inside", "🎟" * 16])
def test_every_character_of_a_password_counts(password):
    stored = passwords.hash_password(password)

    assert passwords.find_matching(stored, [password]) == password
    assert passwords.find_matching(stored, [password[:-1]]) is None


def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(argon2_runs):
    stored = passwords.hash_password("correct horse battery")

    assert passwords.find_matching(stored, ["wrong", "Wrong"]) is None
    assert passwords.find_matching(None, ["wrong", "Wrong"]) is None

    assert len(argon2_runs) == 4 and all(run == argon2_runs[0] for run in argon2_runs)


def test_the_password_of_the_dummy_hash_signs_nobody_in(argon2_runs):
    assert passwords.find_matching(None, ["nobody has this password"]) is None


def test_a_hash_of_other_parameters_is_outdated():
    older = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash("correct horse battery")

    assert passwords.needs_rehash(older)
    assert not passwords.needs_rehash(passwords.hash_password("correct horse battery"))


def test_a_password_that_cannot_be_hashed_in_time_is_refused_at_once(monkeypatch):
    turns = passwords._Turns()
    turns._seconds = 2.0

    with turns.taken(1.0):  # the first in the queue, however long the last one took
        monkeypatch.setattr(turns._free, "acquire", lambda timeout: pytest.fail("it waits for its turn"))
        with pytest.raises(ServiceUnavailable), turns.taken(1.0):
            pass
