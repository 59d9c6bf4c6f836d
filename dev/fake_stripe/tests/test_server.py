"""The program: where it listens, what it keeps, and which clients its controls answer."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import stripe

from dev.fake_stripe.server import PublicAddress, listening
from dev.fake_stripe.testing import WEBHOOK_SECRET, FakeStripe, running

AUTHORIZE = {"amount": 1500, "currency": "usd", "metadata": {"order_id": "order-1"}}
ONCE = {"idempotency_key": "pi:1"}


def test_other_address_than_loopback_is_refused():
    with pytest.raises(PublicAddress), listening(0, "whsec_1", host="0.0.0.0"):  # noqa: S104 - that is the point
        pass


def test_webhooks_to_other_machines_are_refused():
    with pytest.raises(ValueError, match="this machine only"), listening(0, "whsec_1", "http://example.com/"):
        pass


def test_other_containers_are_served():
    with listening(0, "whsec_1", "http://gateway:8000/", host="127.0.0.2", in_container=True) as server:
        assert server.host == "127.0.0.2"


@pytest.mark.parametrize("header", [{"Origin": "http://127.0.0.1:8000"}, {"Host": "rebound.example.com"}])
def test_controls_do_not_answer_pages(fake, header):
    request = urllib.request.Request(f"{fake.url}/_control/ledger", headers=header)  # noqa: S310

    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=5)  # noqa: S310


@pytest.mark.lengthy
def test_everything_survives_a_kill(tmp_path):
    state = str(tmp_path / "state.db")
    settings = {"STRIPE_WEBHOOK_SECRET": "whsec_1", "FAKE_STRIPE_STATE": state, "FAKE_STRIPE_PORT": "0"}
    command = [sys.executable, "-m", "dev.fake_stripe"]
    with subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True) as program:
        url = re.search(r"http://[\d.]+:\d+", program.stderr.readline())[0]
        intent = FakeStripe(url).client().v1.payment_intents.create(AUTHORIZE, ONCE)
        program.send_signal(signal.SIGKILL)

    with running(state_path=state) as fake:
        again = fake.client().v1.payment_intents.create(AUTHORIZE, ONCE)
        entries = fake.ledger("order-1")

    assert again.id == intent.id and again.last_response.headers["Idempotent-Replayed"] == "true"
    assert [entry["payment_intent"] for entry in entries] == [intent.id]


@pytest.mark.lengthy
def test_webhooks_are_signed_with_the_new_secret_while_secrets_are_rotated(receiver):
    receiver.forget()
    settings = {"STRIPE_WEBHOOK_SECRET": f"{WEBHOOK_SECRET} , whsec_old", "FAKE_STRIPE_PORT": "0"}
    settings |= {"FAKE_STRIPE_WEBHOOK_URL": receiver.url, "FAKE_STRIPE_STATE": ""}
    command = [sys.executable, "-m", "dev.fake_stripe"]
    with subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True) as program:
        try:
            url = re.search(r"http://[\d.]+:\d+", program.stderr.readline())[0]
            intents = FakeStripe(url).client().v1.payment_intents
            intents.cancel(intents.create(AUTHORIZE).id)
            assert receiver.wait_for(1) == ["payment_intent.canceled"]
        finally:
            program.kill()


@pytest.mark.lengthy
def test_waiting_webhook_survives_a_restart(tmp_path, receiver):
    receiver.forget()
    state = str(tmp_path / "state.db")
    with running(receiver.url, state) as fake:
        fake.control("webhooks", action="delay", seconds=0.3)
        fake.client().v1.payment_intents.create(AUTHORIZE)

    with running(receiver.url, state):
        assert receiver.wait_for(1) == ["payment_intent.created"]


def test_many_callers_at_once_make_one_charge_each(fake, new_intent):
    from concurrent.futures import ThreadPoolExecutor

    intent, started = new_intent(), time.monotonic()

    def confirm(_):
        try:
            return fake.client().v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status
        except stripe.InvalidRequestError as refused:
            return refused.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(confirm, range(16)))

    assert sorted(answers) == ["payment_intent_unexpected_state"] * 15 + ["requires_capture"]
    assert time.monotonic() - started < 10
