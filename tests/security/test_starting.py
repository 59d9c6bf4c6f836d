"""No program starts without its secrets, and each says which one to set."""

import os
import re
import signal
import subprocess

import pytest

from dev.stack.programs import environment, everything
from dev.stack.supervisor import ROOT
from dev.stack.supervisor import environment as surroundings

STRIPE = ["STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET"]
NEEDED = {
    "auth": ["AUTH_AMQP_URL", "AUTH_MONGO_URL", "AUTH_SIGNING_KEY", "TOKEN_PUBLIC_KEYS"],
    "tickets": ["TICKETS_AMQP_URL", "TICKETS_MONGO_URL", "TICKETS_SIGNING_KEY", "TOKEN_PUBLIC_KEYS"],
    "orders": ["ORDERS_AMQP_URL", "ORDERS_MONGO_URL", "ORDERS_SIGNING_KEY", "TOKEN_PUBLIC_KEYS"],
    "payments": ["PAYMENTS_AMQP_URL", "PAYMENTS_MONGO_URL", "PAYMENTS_SIGNING_KEY", "TOKEN_PUBLIC_KEYS", *STRIPE],
    "expiration": ["EXPIRATION_AMQP_URL", "EXPIRATION_MONGO_URL", "EXPIRATION_SIGNING_KEY", "REDIS_URL"],
    "worker": ["EXPIRATION_AMQP_URL", "EXPIRATION_MONGO_URL", "REDIS_URL"],
    "scheduler": ["REDIS_URL"],
    "gateway": [
        *("GATEWAY_AMQP_URL", "GATEWAY_SECRET_KEY", "GATEWAY_SIGNING_KEY"),
        *("TOKEN_PUBLIC_KEYS", "STRIPE_PUBLISHABLE_KEY"),
    ],
    "fake-stripe": ["STRIPE_WEBHOOK_SECRET"],
}
KEYS = [
    (program, setting)
    for program, settings in NEEDED.items()
    for setting in settings
    if setting.endswith("SIGNING_KEY") or setting == "TOKEN_PUBLIC_KEYS"
]
PAIRS = [(program, setting) for program, settings in NEEDED.items() for setting in settings]


def run(program, servers, **changes):
    """Run a program until it ends, for ten seconds at most; return its exit code and what it said."""
    (command,) = [known.command for known in everything(servers) if known.name == program]
    settings = surroundings(servers.folder / "nobody's") | environment(program, servers) | changes
    process = subprocess.Popen(
        command,
        env={name: value for name, value in settings.items() if value is not None},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        return None, said
    return process.returncode, said


@pytest.mark.parametrize(("program", "setting"), PAIRS)
def test_no_program_starts_without(program, setting, servers):
    code, said = run(program, servers, **{setting: None})

    assert code not in (0, None)
    assert f"{setting} is not set: set it in the environment" in said


@pytest.mark.parametrize("program", NEEDED)
def test_no_program_starts_with_a_secret_that_is_a_placeholder(program, servers):
    setting = NEEDED[program][-1]

    code, said = run(program, servers, **{setting: "changeme"})

    assert code not in (0, None)
    assert f"{setting} is still a placeholder: set it in the environment" in said


@pytest.mark.parametrize(("program", "setting"), KEYS)
def test_no_program_starts_with_a_key_of_another_form(program, setting, servers):
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHNoYWxsIG5ldmVyIGJlIHNlZW4=\n-----END PRIVATE KEY-----\n"

    code, said = run(program, servers, **{setting: pem})

    assert code not in (0, None)
    assert f"{setting} is not of the form ISSUER:NUMBER=BASE64, of 32 bytes: set it in the environment" in said
    assert "Traceback" not in said and "MC4CAQ" not in said


@pytest.mark.parametrize(
    ("program", "setting"), [pair for pair in PAIRS if pair[1] == "REDIS_URL" or pair[1].endswith("MONGO_URL")]
)
def test_no_program_starts_with_an_address_of_another_form(program, setting, servers):
    code, said = run(program, servers, **{setting: "http://ticketing:never/seen@localhost:8000"})

    assert code not in (0, None)
    assert re.search(rf"{setting} is not of the form (redis|mongodb)://HOST:PORT/.*: set it in the environment", said)
    assert "Traceback" not in said and "never" not in said
