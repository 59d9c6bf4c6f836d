import base64
import json
import time

import jwt
import pytest

from libs.tokens import ALGORITHM, AUDIENCE, InvalidKey, InvalidToken, Signer, Verifier, new_key

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
        *({name: None} for name in ("iss", "aud", "sub", "jti", "iat", "exp")),
        {"kid": "auth:2"},
        {"kid": ""},
        {"key": Signer(new_key("auth:1")[0])._key},
    ],
)
def test_a_token_with_anything_wrong_is_refused(changes):
    with pytest.raises(InvalidToken):
        VERIFIER.verify(forged(**changes))


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
