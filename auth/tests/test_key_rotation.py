from types import SimpleNamespace

from cryptography.fernet import Fernet

from auth.key_rotation import KeyRotation
from auth.known_keys import record_public_keys, record_secret_keys
from libs.fingerprints import fingerprint
from libs.tokens import Verifier, new_key


def changes(caplog):
    return [record.what for record in caplog.records if getattr(record, "event", "") == "key_rotation"]


def test_a_rotation_of_keys_is_logged_step_by_step_by_their_names_alone(mongo, caplog):
    caplog.set_level("INFO", "security")
    old, new = new_key("orders:1")[1], new_key("orders:2")[1]

    for setting in (old, old, f"{old},{new}", new):
        record_public_keys(mongo, Verifier(setting).public_keys)

    first, second = changes(caplog)
    assert first == "accepted: orders:2; no longer accepted: none"
    assert second == "accepted: none; no longer accepted: orders:1"


def test_another_key_of_the_same_name_is_noticed(mongo, caplog):
    caplog.set_level("INFO", "security")

    for _ in range(2):
        record_public_keys(mongo, Verifier(new_key("auth:1")[1]).public_keys)

    assert changes(caplog) == ["accepted: auth:1; no longer accepted: auth:1"]


def start_auth(url, encryption_key):
    provider = KeyRotation()
    config = {"MONGO_URL": url, "TOKEN_PUBLIC_KEYS": PUBLIC, "ENCRYPTION_KEY": encryption_key}
    provider.container = SimpleNamespace(config=config, service_name="auth")
    provider.setup()
    provider.start()


PUBLIC = new_key("auth:1")[1]


def test_a_rotation_of_the_encryption_key_is_logged_by_fingerprints_when_auth_starts(mongo_url, caplog):
    caplog.set_level("INFO", "security")
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    first, second = map(fingerprint, (old, new))

    for setting in (old, old, f"{new}, {old}", new):
        start_auth(mongo_url, setting)

    assert changes(caplog) == [
        f"AUTH_ENCRYPTION_KEY: {second}, {first}; before: {first}",
        f"AUTH_ENCRYPTION_KEY: {second}; before: {second}, {first}",
    ]
    assert old not in caplog.text and new not in caplog.text


def test_keys_of_one_program_are_not_compared_with_those_of_another(mongo, caplog):
    caplog.set_level("INFO", "security")

    record_secret_keys(mongo, "auth", "AUTH_ENCRYPTION_KEY", ["1"])
    record_secret_keys(mongo, "gateway", "GATEWAY_SECRET_KEY", ["2"])

    assert changes(caplog) == []
