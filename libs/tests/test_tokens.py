import base64
import json
import time

import jwt
import pytest

from libs.tokens import (
    ALGORITHM,
    AUDIENCE,
    InvalidKey,
    InvalidToken,
    Signer,
    Verifier,
    new_key,
    operator_key,
    operator_of,
    subject_of,
    verify_operator,
)

PRIVATE, PUBLIC = new_key("auth:1")
SIGNER = Signer(PRIVATE)
VERIFIER = Verifier(PUBLIC)


def forged(key=None, kid="auth:1", **changes):
    now = int(time.time())
    claims = {"iss": "auth", "aud": AUDIENCE, "sub": "bo", "jti": "s1", "iat": now, "exp": now + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key or SIGNER._key, algorithm=ALGORITHM, headers={"kid": kid})


def test_a_minted_token_says_who_and_until_when():
    claims = VERIFIER.verify(SIGNER.mint("bo", 60, email="bo@example.org"))

    assert (claims.issuer, claims.subject, claims.email, claims.is_user) == ("auth", "bo", "bo@example.org", True)
    assert claims.expires_at - claims.issued_at == 60


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"aud": "another"},
        {"iss": "orders"},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"iat": "noon"},
        {"iat": {"$ne": None}},
        *({name: None} for name in ("iss", "aud", "sub", "jti", "iat", "exp")),
        {"kid": "auth:2"},
        {"kid": ""},
        {"key": Signer(new_key("auth:1")[0])._key},
    ],
)
def test_a_token_with_anything_wrong_is_refused(changes):
    with pytest.raises(InvalidToken):
        VERIFIER.verify(forged(**changes))


def test_a_token_of_a_host_whose_clock_is_ahead_is_accepted_up_to_half_a_minute():
    now = int(time.time())

    assert VERIFIER.verify(forged(iat=now + 29, exp=now + 89)).issued_at == now + 29
    with pytest.raises(InvalidToken, match="do the hosts' clocks agree"):
        VERIFIER.verify(forged(iat=now + 32, exp=now + 92))


@pytest.fixture
def checks(monkeypatch):
    """The tokens whose signatures are checked, in order."""
    checked, decode = [], jwt.decode
    monkeypatch.setattr(
        jwt, "decode", lambda token, *about, **options: checked.append(token) or decode(token, *about, **options)
    )
    return checked


def test_the_signature_of_a_token_is_checked_once(checks):
    verifier, token, another = Verifier(PUBLIC), SIGNER.mint("bo", 60), SIGNER.mint("bo", 60)

    assert verifier.verify(token) is verifier.verify(token)
    assert verifier.verify(another).session_id != verifier.verify(token).session_id
    assert checks == [token, another]


def test_a_known_token_ends_when_it_expires(monkeypatch):
    verifier, token = Verifier(PUBLIC), SIGNER.mint("bo", 60)
    verifier.verify(token)

    later = time.time() + 66
    monkeypatch.setattr(time, "time", lambda: later)

    with pytest.raises(InvalidToken, match="expired"):
        verifier.verify(token)


def test_a_known_token_is_refused_once_its_key_is_not_accepted_any_more():
    token = SIGNER.mint("bo", 60)
    Verifier(PUBLIC).verify(token)

    with pytest.raises(InvalidToken):
        Verifier(new_key("auth:2")[1]).verify(token)


def test_a_refused_token_is_refused_again(checks):
    verifier, token = Verifier(PUBLIC), forged(aud="another")

    for _ in range(2):
        with pytest.raises(InvalidToken):
            verifier.verify(token)
    assert checks == [token, token]


def test_only_so_many_tokens_are_remembered_and_those_in_use_stay(checks, monkeypatch):
    monkeypatch.setattr("libs.tokens.MOST_VERIFIED", 2)
    verifier, (ana, bo, cy) = Verifier(PUBLIC), (SIGNER.mint(name, 60) for name in ("ana", "bo", "cy"))

    for token in (ana, bo, ana, cy, ana, bo):
        verifier.verify(token)

    assert checks == [ana, bo, cy, bo]


def test_a_services_token_is_used_for_half_of_its_life(monkeypatch):
    signer, now = Signer(new_key("orders:1")[0]), time.time()
    first = signer.mint_service("tickets")

    def minted_at(moment):
        monkeypatch.setattr(time, "time", lambda: moment)
        return signer.mint_service("tickets")

    assert minted_at(now + 29) == first
    later = minted_at(now + 31)
    assert later != first
    assert minted_at(now + 20) != later  # the clock was set back: to others it would be from the future


def test_a_services_token_is_good_at_the_service_that_it_calls_alone():
    private, public = new_key("gateway:1")
    gateway, (tickets, auth) = Signer(private), (Verifier(public, name) for name in ("tickets", "auth"))
    token = gateway.mint_service("tickets")

    assert tickets.verify(token).subject == "gateway"
    assert tickets.verify(gateway.mint_service("tickets")).session_id == tickets.verify(token).session_id
    for elsewhere in (auth, Verifier(public)):
        with pytest.raises(InvalidToken, match="good at another service"):
            elsewhere.verify(token)
    assert auth.verify(gateway.mint_service("auth")).subject == "gateway"


def test_services_of_two_versions_accept_each_others_tokens():
    private, public = new_key("orders:1")
    signer = Signer(private)

    of_the_version_before = signer.mint("orders", 60)
    assert Verifier(public, "payments").verify(of_the_version_before).subject == "orders"
    as_it_verifies = {"audience": AUDIENCE, "algorithms": [ALGORITHM]}
    assert jwt.decode(signer.mint_service("payments"), signer._key.public_key(), **as_it_verifies)["sub"] == "orders"


def test_unsigned_and_differently_signed_tokens_are_refused():
    unsigned = jwt.encode({"sub": "bo"}, None, algorithm="none", headers={"kid": "auth:1"})
    confused = jwt.encode({"sub": "bo"}, PUBLIC + "x" * 32, algorithm="HS256", headers={"kid": "auth:1"})

    for token in (unsigned, confused, None, "", 7, "a.b.c"):
        with pytest.raises(InvalidToken):
            VERIFIER.verify(token)


def test_every_changed_byte_of_the_contents_is_noticed():
    header, payload, signature = SIGNER.mint("bo", 60).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "ana"}).encode()).decode().rstrip("=")

    with pytest.raises(InvalidToken):
        VERIFIER.verify(f"{header}.{changed}.{signature}")


def test_a_services_key_cannot_sign_for_users():
    private, public = new_key("orders:1")
    token = forged(key=Signer(private)._key, kid="orders:1")

    with pytest.raises(InvalidToken):
        Verifier(f"{PUBLIC},{public}").verify(token)


def test_secret_for_another_purpose_is_that_keys_and_that_purposes_alone():
    (first, _), (second, _) = new_key("auth:1"), new_key("auth:1")

    secrets = [Signer(key).derive_secret(purpose) for key in (first, second) for purpose in ("counters", "cookies")]

    assert len(set(secrets)) == 4 and Signer(first).derive_secret("counters") == secrets[0]


def test_two_keys_are_valid_at_once_and_a_removed_one_is_not():
    private, public = new_key("auth:2")
    both = Verifier(f"{PUBLIC}, {public}")

    assert both.verify(SIGNER.mint("bo", 60)).subject == "bo"
    assert both.verify(Signer(private).mint("bo", 60)).subject == "bo"
    with pytest.raises(InvalidToken):
        Verifier(public).verify(SIGNER.mint("bo", 60))


MALFORMED = ["", "auth", "auth:1=", "auth:1=!!!", "auth:1=é", "auth=" + "A" * 44, ":1=" + "A" * 44]


@pytest.mark.parametrize(
    "setting",
    [
        *MALFORMED,
        pytest.param(f"{PUBLIC},x", id="a key and more"),
        pytest.param(f"{PUBLIC},{new_key('auth:1')[1]}", id="two keys of one name"),
    ],
)
def test_a_malformed_key_is_refused(setting):
    with pytest.raises(InvalidKey):
        Verifier(setting)


OLGA = Signer(new_key("operator:olga")[0])


def test_an_operators_token_says_who_calls_what_and_is_valid_by_their_own_key_alone():
    token = OLGA.mint_call("payments.refund")

    claims = verify_operator(token, OLGA.public_key)

    assert (claims.issuer, claims.subject, claims.method) == ("operator", "olga", "payments.refund")
    assert operator_of(token) == "olga" and not claims.is_user
    for other in (new_key("operator:olga")[1], new_key("operator:pim")[1]):
        with pytest.raises(InvalidToken):
            verify_operator(token, other)


def test_no_operator_speaks_for_another():
    OLGA.name, own = "pim", OLGA.name
    try:
        token = OLGA.mint_call("payments.refund")
    finally:
        OLGA.name = own

    with pytest.raises(InvalidToken):
        verify_operator(token, OLGA.public_key)


def test_no_operator_keeps_a_token_for_later():
    with pytest.raises(InvalidToken, match="longer than a call"):
        verify_operator(OLGA.mint("olga", 61, method="auth.unlock"), OLGA.public_key)


def test_no_key_of_an_operator_counts_among_the_settings():
    verifier = Verifier(f"{PUBLIC},{OLGA.public_key},{new_key('operator:1')[1]}")

    with pytest.raises(InvalidToken):
        verifier.verify(OLGA.mint_call("payments.refund"))
    with pytest.raises(InvalidKey):
        Verifier(OLGA.public_key)


@pytest.mark.parametrize(
    "text",
    [
        *("", "olga", "auth:1=AAAA", "operator:=x", "operator:Olga=", "operator:1=" + "A" * 43 + "="),
        pytest.param(PUBLIC, id="a service's"),
        pytest.param(PRIVATE, id="a private one"),
        pytest.param(new_key("operator:administrator")[1], id="the administrator's"),
    ],
)
def test_what_is_no_public_key_of_an_operator_is_refused(text):
    with pytest.raises(InvalidKey):
        operator_key(text)


@pytest.mark.parametrize(
    "token", [None, "", "a.b.c", "\ud800.e30.", pytest.param(SIGNER.mint("bo", 60), id="a user's")]
)
def test_what_is_no_operators_token_is_not_taken_for_one(token):
    assert operator_of(token) is None


def test_a_token_still_says_whose_it_was_once_it_has_expired():
    assert subject_of(SIGNER.mint("bo", -60)) == "bo"
    assert [subject_of(token) for token in (None, "", "a.b.c")] == [None] * 3
