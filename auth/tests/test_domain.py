import pytest

from auth import domain

COMMON_PASSWORDS = frozenset({"password123"})


@pytest.mark.parametrize("email", ["Ana@Example.ORG", "  ana@example.org "])
def test_addresses_are_compared_trimmed_and_in_lower_case(email):
    assert domain.normalise_email(email) == "ana@example.org"


@pytest.mark.parametrize(
    "email",
    ["", "ana", "ana@", "@example.org", "a b@example.org", "ana@localhost", "x" * 255 + "@a.org", None, 7, {"$ne": 1}]
    + [f"a{letter}@example.org" for letter in "\x00\x07\x7f\x9f\u202e\ud800"],
)
def test_what_is_no_address_is_refused(email):
    with pytest.raises(domain.InvalidEmail):
        domain.normalise_email(email)


@pytest.mark.parametrize("password", ["eight ch", "ünïcödé ist erlaubt", "x" * 64, "        "])
def test_any_characters_make_a_password(password):
    assert domain.check_password("password", password, "ana@example.org", COMMON_PASSWORDS) == password


@pytest.mark.parametrize(
    "password", ["short", "x" * 65, "Password123", None, False, ["a long password"], "\ud800 and more"]
)
def test_short_long_common_and_other_things_are_no_password(password):
    with pytest.raises(domain.InvalidPassword):
        domain.check_password("password", password, "ana@example.org", COMMON_PASSWORDS)


def test_errors_of_email_and_password_are_reported_together():
    with pytest.raises(domain.InvalidEmail) as refusal:
        domain.check_sign_up("", "short", COMMON_PASSWORDS)

    assert refusal.value.details["errors"] == [
        {"field": "email", "message": "Enter an email address, like ana@example.com."},
        {"field": "password", "message": "Choose a password of 8 to 64 characters."},
    ]


def test_errors_of_the_current_and_the_new_password_are_reported_together():
    with pytest.raises(domain.InvalidPassword) as refusal:
        domain.check_change("", "short")

    assert [error["field"] for error in refusal.value.details["errors"]] == ["current", "new"]


@pytest.mark.parametrize("current", [None, False, "", "x" * 1025, {"$ne": None}, "\ud800"])
def test_what_cannot_be_the_current_password_is_named(current):
    with pytest.raises(domain.InvalidPassword) as refusal:
        domain.check_change(current, "another long one")

    assert [error["field"] for error in refusal.value.details["errors"]] == ["current"]


@pytest.mark.parametrize("password", ["ana.lopez@example.org", "ANA.Lopez@Example.org", "ana.lopez", " ana.lopez "])
def test_the_users_own_email_is_no_password(password):
    with pytest.raises(domain.InvalidPassword):
        domain.check_password("password", password, "ana.lopez@example.org", COMMON_PASSWORDS)


def test_wrong_sign_in_counts_for_the_account_the_address_and_both_together():
    limits = [counter.limit for counter in domain.sign_in_counters("ana@example.org", "192.0.2.1", is_known=False)]

    assert limits == [domain.ONE_ACCOUNT_FROM_ONE_ADDRESS, domain.ONE_ADDRESS, domain.ONE_ACCOUNT]


def test_from_an_address_that_the_account_knows_nobody_else_slows_the_user_down():
    known = domain.sign_in_counters("ana@example.org", "192.0.2.1", is_known=True)
    neighbours = domain.sign_in_counters("bo@example.org", "192.0.2.1", is_known=False)
    strangers = domain.sign_in_counters("ana@example.org", "198.51.100.7", is_known=False)

    assert not {counter.key for counter in known} & {counter.key for counter in neighbours + strangers}


def test_counters_give_away_neither_emails_nor_addresses():
    keys = [counter.key for counter in domain.sign_in_counters("ana@example.org", "192.0.2.1", is_known=False)]

    assert not [key for key in keys if "ana" in key or "192" in key]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::9", "2001:db8::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ({"$ne": 1}, "unknown"),
    ],
)
def test_a_whole_ipv6_network_counts_as_one_address(address, network):
    assert domain.network(address) == network
