import pytest

from auth import domain

COMMON = frozenset({"password123"})


@pytest.mark.parametrize("email", ["Ana@Example.ORG", "  ana@example.org "])
def test_addresses_are_compared_trimmed_and_in_lower_case(email):
    assert domain.normalised_email(email) == "ana@example.org"


@pytest.mark.parametrize(
    "email",
    ["", "ana", "ana@", "@example.org", "a b@example.org", "ana@localhost", "x" * 255 + "@a.org", None, 7, {"$ne": 1}],
)
def test_what_is_no_address_is_refused(email):
    with pytest.raises(domain.InvalidEmail):
        domain.normalised_email(email)


@pytest.mark.parametrize("password", ["eight ch", "ünïcödé ist erlaubt", "x" * 64, "        "])
def test_any_characters_make_a_password(password):
    assert domain.check_password(password, COMMON) == password


@pytest.mark.parametrize("password", ["short", "x" * 65, "Password123", None, ["a long password"]])
def test_short_long_common_and_other_things_are_no_password(password):
    with pytest.raises(domain.InvalidPassword):
        domain.check_password(password, COMMON)
