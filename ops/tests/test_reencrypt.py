import pytest
from cryptography.fernet import Fernet

from auth.factors import Factors
from auth.seals import STORED, Seals
from ops import reencrypt

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))


def keep_app(mongo, user, key):
    Factors(mongo).turn_on(user, "set-up", Seals(key).seal(STORED, user, f"secret of {user}"), 1, [])


def test_every_app_goes_on_without_the_old_key_and_those_that_cannot_are_named(mongo, mongo_url, monkeypatch, caplog):
    caplog.set_level("INFO")
    for user, key in (("ana", OLD), ("bo", NEW), ("cy", LOST)):
        keep_app(mongo, user, key)
    monkeypatch.setenv("AUTH_MONGO_URL", mongo_url)
    monkeypatch.setenv("AUTH_ENCRYPTION_KEY", f"{NEW},{OLD}")

    with pytest.raises(SystemExit, match="the apps of these users: cy$"):
        reencrypt.main()

    assert "2 authenticator apps are encrypted with the newest key" in caplog.text
    kept = Factors(mongo)
    for user in ("ana", "bo"):
        assert Seals(NEW).open(STORED, kept.second_factor(user)["secret"]) == [user, f"secret of {user}"]
