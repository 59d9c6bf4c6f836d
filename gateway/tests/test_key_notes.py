from gateway import key_notes
from gateway.key_notes import KeyNotes
from libs.fingerprints import fingerprint
from libs.rpc import RemoteError, ServiceUnavailable


def test_auth_learns_of_the_keys_of_cookies_as_soon_as_it_answers(monkeypatch):
    monkeypatch.setattr(key_notes, "AGAIN_SECONDS", 0)
    told, away = [], [ServiceUnavailable("auth")] * 2

    def tell(fingerprints):
        told.append(fingerprints)
        if away:
            raise away.pop()

    KeyNotes(["a key", "an older one"], tell).tell()

    assert told == [[fingerprint("a key"), fingerprint("an older one")]] * 3
    assert "a key" not in str(told)


def test_gateway_goes_on_beside_an_auth_that_does_not_know_of_keys(caplog):
    def tell(_fingerprints):
        raise RemoteError("MethodNotFound", "note_keys")

    KeyNotes(["a key"], tell).tell()

    assert "auth was not told which keys sign cookies" in caplog.text
