from gateway import key_report
from gateway.key_report import KeyReport
from libs.fingerprints import fingerprint
from libs.rpc import RemoteError, ServiceUnavailable


def test_auth_learns_of_the_keys_of_cookies_as_soon_as_it_answers(monkeypatch):
    monkeypatch.setattr(key_report, "RETRY_SECONDS", 0)
    reports, failures = [], [ServiceUnavailable("auth")] * 2

    def call(fingerprints):
        reports.append(fingerprints)
        if failures:
            raise failures.pop()

    KeyReport(["a key", "an older one"], call).report()

    assert reports == [[fingerprint("a key"), fingerprint("an older one")]] * 3
    assert "a key" not in str(reports)


def test_gateway_goes_on_beside_an_auth_that_cannot_take_the_report(caplog):
    def call(_fingerprints):
        raise RemoteError("MethodNotFound", "note_keys")

    KeyReport(["a key"], call).report()

    assert "could not be reported to auth" in caplog.text
