import pytest
from argon2 import PasswordHasher, extract_parameters

from auth import passwords

COMMON_PASSWORDS = passwords.read_common_passwords()


@pytest.fixture
def argon2_runs(monkeypatch):
    """Return the parameters of every hash that a password was compared with."""
    runs, verify = [], passwords._verify

    def counted(stored, password):
        runs.append(extract_parameters(stored))
        return verify(stored, password)

    monkeypatch.setattr(passwords, "_verify", counted)
    return runs


def test_list_of_common_passwords_is_long_and_has_only_what_is_long_enough_to_choose():
    assert len(COMMON_PASSWORDS) > 10_000
    assert {"password", "12345678", "qwertyuiop", "iloveyou"} <= COMMON_PASSWORDS
    assert {len(word) for word in COMMON_PASSWORDS} <= set(range(8, 65))
    assert all(word == word.lower() for word in COMMON_PASSWORDS)


def test_a_password_is_kept_as_argon2id_with_at_least_owasps_parameters():
    parameters = extract_parameters(passwords.hash_password("correct horse battery"))

    assert parameters.type.name == "ID"
    assert (parameters.memory_cost >= 19 * 1024, parameters.time_cost >= 2) == (True, True)


@pytest.mark.parametrize("password", ["x" * 63 + "ä", "пароль из слов", "a\0b nul inside", "🎟" * 16])
def test_every_character_of_a_password_counts(password):
    stored = passwords.hash_password(password)

    assert passwords.matching(stored, [password]) == password
    assert passwords.matching(stored, [password[:-1]]) is None


def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(argon2_runs):
    stored = passwords.hash_password("correct horse battery")

    assert passwords.matching(stored, ["wrong", "Wrong"]) is None
    assert passwords.matching(None, ["wrong", "Wrong"]) is None

    assert len(argon2_runs) == 4 and all(run == argon2_runs[0] for run in argon2_runs)


def test_the_password_of_the_dummy_hash_signs_nobody_in(argon2_runs):
    assert passwords.matching(None, ["nobody has this password"]) is None


def test_a_hash_of_other_parameters_is_outdated():
    older = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash("correct horse battery")

    assert passwords.needs_rehash(older)
    assert not passwords.needs_rehash(passwords.hash_password("correct horse battery"))
