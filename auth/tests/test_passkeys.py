"""Answers of passkeys, right and mangled; no server."""

import json
import ssl
from contextlib import suppress
from functools import partial

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.known_root_certs import apple_webauthn_root_ca

from auth.passkeys import InvalidAnswer, Passkeys, credential_of
from dev.passkeys import SoftwarePasskey

SITE = "https://tickets.example"
PASSKEYS = Passkeys(SITE)


@pytest.fixture(scope="module")
def made():
    """A passkey, the challenge for which it was made, and its answer."""
    passkey, options = SoftwarePasskey(SITE), PASSKEYS.creation_options("ana", "ana@example.org", [])
    return passkey, options["challenge"], passkey.create(options)


@pytest.fixture(scope="module")
def used(made):
    """A passkey as it is kept, the challenge for which it was used, and its answer."""
    passkey, challenge, answer = made
    options = PASSKEYS.request_options()
    return PASSKEYS.verify_creation(answer, challenge), options["challenge"], passkey.get(options)


def test_passkey_that_was_made_is_accepted_when_it_is_used(used):
    kept, challenge, answer = used

    assert PASSKEYS.verify_use(answer, challenge, kept) == 1
    assert credential_of(answer) == (kept["_id"], "ana")


def test_passkeys_of_a_user_are_not_made_twice_on_one_device(used):
    options = PASSKEYS.creation_options("ana", "ana@example.org", [used[0]["_id"]])

    assert [each["id"] for each in options["excludeCredentials"]] == [used[0]["_id"]]


def test_copied_key_is_noticed_by_how_often_it_was_used(used):
    kept, challenge, answer = used

    with pytest.raises(InvalidAnswer, match="sign count"):
        PASSKEYS.verify_use(answer, challenge, kept | {"sign_count": 7})


@pytest.mark.parametrize("site", ["https://other.example", "https://tickets.example:8443", "http://tickets.example"])
def test_answer_on_another_site_is_refused(made, site):
    _, challenge, answer = made

    with pytest.raises(InvalidAnswer):
        Passkeys(site).verify_creation(answer, challenge)


def mangled(answer, field, place, byte, cut):
    """Return an answer with one byte of a field changed, or the field cut off there."""
    shown = json.loads(answer)
    raw = bytearray(base64url_to_bytes(shown["response"][field]))
    raw[place % len(raw)] ^= byte
    shown["response"][field] = bytes_to_base64url(bytes(raw[: place % len(raw)] if cut else raw))
    return json.dumps(shown)


NONSENSE = {
    "a number": "7",
    "a number for a challenge": '{"type": 1, "challenge": 7, "origin": ""}',
    "deep": "[" * 9000,
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
def test_answer_in_which_a_browser_says_nonsense_is_refused(made, used, said):
    check = partial(PASSKEYS.verify_use, passkey=used[0])
    for (_, challenge, answer), accept in ((made, PASSKEYS.verify_creation), (used, check)):
        shown = json.loads(answer)
        shown["response"]["clientDataJSON"] = bytes_to_base64url(said.encode())
        for nonsense in (json.dumps(shown), said):
            with pytest.raises(InvalidAnswer):
                accept(nonsense, challenge)


CERTIFICATE = ssl.PEM_cert_to_DER_cert(apple_webauthn_root_ca.decode())
VERSION_3, VERSION_10 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09"
ATTESTED = {
    "a key that is a list": lambda data, key: {"fmt": "none", "attStmt": {}, "authData": data + cbor2.dumps([1])},
    "a certificate of a version that there is not": lambda data, key: {
        "fmt": "packed",
        "attStmt": {"alg": -7, "sig": b"signed", "x5c": [CERTIFICATE.replace(VERSION_3, VERSION_10)]},
        "authData": data + key,
    },
}


@pytest.mark.parametrize("attest", ATTESTED.values(), ids=ATTESTED)
def test_new_passkey_of_which_a_device_says_nonsense_is_refused(made, attest):
    passkey, challenge, answer = made
    shown = json.loads(answer)
    said = cbor2.loads(base64url_to_bytes(shown["response"]["attestationObject"]))["authData"]
    before_key = said.index(passkey.ident) + len(passkey.ident)
    nonsense = attest(said[:before_key], said[before_key:])
    shown["response"]["attestationObject"] = bytes_to_base64url(cbor2.dumps(nonsense))

    with pytest.raises(InvalidAnswer):
        PASSKEYS.verify_creation(json.dumps(shown), challenge)


MANGLED = {"place": st.integers(0, 10_000), "byte": st.integers(1, 255), "cut": st.booleans()}


@given(field=st.sampled_from(["clientDataJSON", "authenticatorData", "signature"]), **MANGLED)
@settings(max_examples=200, deadline=None)
def test_no_mangled_answer_of_a_passkey_is_accepted(used, field, place, byte, cut):
    kept, challenge, answer = used

    with pytest.raises(InvalidAnswer):
        PASSKEYS.verify_use(mangled(answer, field, place, byte, cut), challenge, kept)


@given(field=st.sampled_from(["clientDataJSON", "attestationObject"]), **MANGLED)
@settings(max_examples=300, deadline=None)
def test_mangled_answer_of_a_new_passkey_is_refused_or_is_that_of_another_key(made, field, place, byte, cut):
    _, challenge, answer = made

    with suppress(InvalidAnswer):
        assert PASSKEYS.verify_creation(mangled(answer, field, place, byte, cut), challenge)["public_key"]
