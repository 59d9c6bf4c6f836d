"""A stolen session cookie, on every process of the running gateway."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from pymongo import MongoClient

from dev.testing import wait_for
from libs.fingerprints import fingerprint

PASSWORD = "correct horse battery"


@pytest.fixture
def ana(person):
    return person("ana")


@pytest.fixture
def elsewhere(system, ana):
    """The cookies of Ana's session on another device, stolen by a thief."""
    with requests.Session() as device:
        device.post(
            f"{system.gateway_url}/api/users/signin", json={"email": ana.email, "password": PASSWORD}, timeout=10
        )
        yield dict(device.cookies)


def workers(system):
    """Return the process ids of the gateway's workers."""
    master = system.pid("gateway")
    found = [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
    assert len(found) == 2
    return found


@contextmanager
def only(worker, system):
    """Suspend all other workers of the gateway while the block runs."""
    others = [pid for pid in workers(system) if pid != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def test_auth_knows_which_key_signs_the_cookies_and_with_which_it_encrypts(system, ana):
    expected = {name: fingerprint(system.secrets[name]) for name in ("GATEWAY_SECRET_KEY", "AUTH_ENCRYPTION_KEY")}
    with MongoClient(system.mongo_url_for("auth")) as client:
        kept = client.auth.accepted_keys

        def noted():
            return {each["_id"]: each["fingerprints"] for each in kept.find({"fingerprints": {"$exists": True}})}

        wait_for(lambda: noted() == {name: [found] for name, found in expected.items()})


def status(system, cookies):
    return requests.get(f"{system.gateway_url}/api/orders", cookies=cookies, timeout=10).status_code


def statuses(system, cookies):
    """Return the status of each worker's response to these cookies."""
    found = []
    for worker in workers(system):
        with only(worker, system):
            found.append(status(system, cookies))
    return found


def check_worthless(system, cookies):
    assert statuses(system, cookies) == [401, 401]


def test_stolen_cookie_is_worthless_at_a_process_that_was_suspended_while_its_user_signed_out(system, ana):
    stolen = dict(ana.http.cookies)
    assert statuses(system, stolen) == [200, 200]
    signed_out_by, suspended = workers(system)

    with only(signed_out_by, system):
        assert ana.post("/api/users/signout").status_code == 200
    with only(suspended, system):
        assert status(system, stolen) == 401


def test_stolen_cookie_is_worthless_after_signing_out(system, ana):
    stolen = dict(ana.http.cookies)
    assert statuses(system, stolen) == [200, 200]

    ana.post("/api/users/signout")

    check_worthless(system, stolen)


def test_stolen_cookies_are_worthless_after_a_change_of_password(system, ana, elsewhere):
    stolen = dict(ana.http.cookies)
    assert statuses(system, elsewhere) == [200, 200]

    change = {"currentPassword": PASSWORD, "newPassword": "another long one"}
    assert ana.post("/api/users/password", change).status_code == 200

    check_worthless(system, stolen)
    check_worthless(system, elsewhere)
    assert statuses(system, dict(ana.http.cookies)) == [200, 200]


def test_stolen_cookies_are_worthless_after_signing_out_everywhere(system, ana, elsewhere):
    stolen = dict(ana.http.cookies)

    assert ana.post("/api/users/signout-everywhere").status_code == 200

    check_worthless(system, stolen)
    check_worthless(system, elsewhere)


def test_session_is_replaced_after_signing_in_again(system, ana):
    stolen = dict(ana.http.cookies)

    ana.post("/api/users/signin", {"email": ana.email, "password": PASSWORD})

    assert dict(ana.http.cookies) != stolen
    check_worthless(system, stolen)


def test_every_cookie_is_out_of_reach_of_scripts_and_other_sites(system, ana):
    signed_in = ana.post("/api/users/signin", {"email": ana.email, "password": PASSWORD})
    page = requests.get(f"{system.gateway_url}/signin", timeout=10)

    for cookie in (signed_in.headers["Set-Cookie"], page.headers["Set-Cookie"]):
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


class FromAddress(requests.adapters.HTTPAdapter):
    """Connects from another loopback address."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *arguments, **options):
        super().init_poolmanager(*arguments, source_address=(self.address, 0), **options)


def sign_in_from(system, address, email, password):
    with requests.Session() as http:
        http.mount("http://", FromAddress(address))
        body = {"email": email, "password": password}
        return http.post(f"{system.gateway_url}/api/users/signin", json=body, timeout=10)


def test_twenty_wrong_sign_ins_are_throttled_and_the_user_can_sign_in_from_elsewhere(system, ana):
    answers = [sign_in_from(system, "127.0.0.66", ana.email, "wrong") for _ in range(20)]

    assert [answer.status_code for answer in answers[:6]] == [400] * 5 + [429]
    assert answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) >= 1
    assert sign_in_from(system, "127.0.0.67", ana.email, PASSWORD).status_code == 200
