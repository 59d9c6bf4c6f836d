"""No program starts without its secrets, and each says which one to set."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from dev.stack.programs import all_programs, environment
from dev.stack.supervisor import ROOT
from dev.stack.supervisor import environment as surroundings
from libs.contracts.parts import BROKER_USERS, SERVICES
from libs.tokens import new_key

STRIPE = ["STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET"]
NEEDED = {
    "auth": ["AUTH_AMQP_URL", "AUTH_MONGO_URL", "AUTH_SIGNING_KEY", "TOKEN_PUBLIC_KEYS", "AUTH_ENCRYPTION_KEY"],
    "tickets": ["TICKETS_AMQP_URL", "TICKETS_MONGO_URL", "TICKETS_SIGNING_KEY", "TOKEN_PUBLIC_KEYS"],
    "orders": ["ORDERS_AMQP_URL", "ORDERS_MONGO_URL", "ORDERS_SIGNING_KEY", "TOKEN_PUBLIC_KEYS"],
    "payments": ["PAYMENTS_AMQP_URL", "PAYMENTS_MONGO_URL", "PAYMENTS_SIGNING_KEY", "TOKEN_PUBLIC_KEYS", *STRIPE],
    "expiration": ["EXPIRATION_AMQP_URL", "EXPIRATION_MONGO_URL", "EXPIRATION_SIGNING_KEY", "EXPIRATION_REDIS_URL"],
    "worker": ["EXPIRATION_AMQP_URL", "EXPIRATION_MONGO_URL", "WORKER_REDIS_URL"],
    "scheduler": ["SCHEDULER_REDIS_URL"],
    "gateway": [
        *("GATEWAY_AMQP_URL", "GATEWAY_SECRET_KEY", "GATEWAY_SIGNING_KEY"),
        *("TOKEN_PUBLIC_KEYS", "STRIPE_PUBLISHABLE_KEY"),
    ],
    "fake-stripe": ["STRIPE_WEBHOOK_SECRET"],
    "broker-setup": [
        *(f"{each.upper()}_AMQP_URL" for each in BROKER_USERS),
        *("RABBITMQ_MANAGEMENT_URL", "RABBITMQ_PASSWORD"),
    ],
}
PAIRS = [(program, setting) for program, settings in NEEDED.items() for setting in settings]
KEYS = [pair for pair in PAIRS if pair[1].endswith("SIGNING_KEY") or pair[1] == "TOKEN_PUBLIC_KEYS"]


ADDRESSES = [pair for pair in PAIRS if pair[1].endswith("_URL")]
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHNoYWxsIG5ldmVyIGJlIHNlZW4=\n-----END PRIVATE KEY-----\n"
WEB_ADDRESS = "http://ticketing:never/seen@localhost:8000"
MALFORMED = [
    *((program, *wrong) for program in NEEDED if program != "fake-stripe" for wrong in (
        ("LOG_LEVEL", "LOUD"), ("LOG_FORMAT", "xml"), ("QUEUE_TYPE", "mirrored"), ("METRICS_PORT", "65536"),
        ("MONGO_READ_PREFERENCE", "secondary"), ("MONGO_WRITE_CONCERN", "1"), ("METRICS_HOST", "every one"),
        ("BROKER_VERIFY_SECONDS", "0"),
        *((name, "/nobody/has/this.pem") for name in ("AMQP_CA_FILE", "MONGO_CA_FILE", "REDIS_CA_FILE")),
    )),
    *((program, *wrong) for program in ("orders", "worker", "gateway") for wrong in (
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "never:4318"), ("OTEL_TRACES_SAMPLER", "never"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    )),
    ("auth", "SIGN_UPS_PER_ADDRESS", "0"),
    ("auth", "AUTH_ENCRYPTION_KEY", "never long enough"),
    *((each, "PUBLIC_URL", f"http://{host}") for each in ("auth", "gateway") for host in ("127.0.0.1", "never.org")),
    *(("orders", "RESERVATION_WINDOW_SECONDS", value) for value in ("0", "86401", "15 minutes")),
    *(("orders", name, "0") for name in ("UNPAID_RESERVATIONS_PER_BUYER", "UNPAID_RESERVATIONS_PER_HOUR")),
    *((program, "CURRENCY", value) for program in ("tickets", "gateway") for value in ("yen", "isk")),
    ("payments", "STRIPE_SECRET_KEY", "pk_test_never"),
    ("payments", "STRIPE_WEBHOOK_SECRET", "never"),
    *((program, "STRIPE_PUBLISHABLE_KEY", "sk_test_never") for program in ("payments", "gateway")),
    *((program, "STRIPE_API_BASE", "never:12111") for program in ("payments", "gateway")),
    ("gateway", "GATEWAY_PROXIES", "-1"),
    ("gateway", "GATEWAY_TLS", "yes"),
    ("gateway", "GATEWAY_SECRET_KEY", "never long enough"),
    *(("gateway", "GATEWAY_TRUSTED_HOSTS", value) for value in ("https://tickets.example", ",", "a.example,", "::1")),
]  # fmt: skip
UNKNOWN = [(program, name, new_key(f"{program}:1")[0]) for program, name in KEYS if name.endswith("SIGNING_KEY")]
PLACEHOLDER = "changeme"
BOTH_MODES = ("payments", "STRIPE_PUBLISHABLE_KEY", "pk_live_never")
CHANGES = [
    *MALFORMED,
    BOTH_MODES,
    *((program, settings[-1], PLACEHOLDER) for program, settings in NEEDED.items()),
    *UNKNOWN,
    *((*pair, None) for pair in PAIRS),
    *((*pair, PEM) for pair in KEYS),
    *((*pair, WEB_ADDRESS) for pair in ADDRESSES),
]


def command_of(program, servers):
    (command,) = [known.command for known in all_programs(servers) if known.name == program]
    return command


def settings_of(program, servers):
    return surroundings(servers.folder / "nobody's") | environment(program, servers)


@pytest.fixture(scope="module")
def refusals(servers):
    """The message with which a program refuses to start, and its output, by (program, changed setting, its value)."""
    migrate = [sys.executable, "-W", "ignore", "-m", "ops.migrate"]  # a service refuses an old database too
    subprocess.run(migrate, env=settings_of("migrate", servers), cwd=ROOT, check=True, capture_output=True, timeout=60)
    changes = sorted(CHANGES, key=lambda change: change[0] in SERVICES)
    refused = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.security.starts"],
        input=json.dumps([[command_of(change[0], servers), changed(servers, *change)] for change in changes]),
        env=surroundings(servers.folder / "nobody's"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=100,
    )
    return dict(zip(changes, json.loads(refused.stdout.splitlines()[-1]), strict=True))


def changed(servers, program, setting, value):
    """Return the settings of a program with one changed, or missing."""
    settings = {**settings_of(program, servers), setting: value}
    return {name: value for name, value in settings.items() if value is not None}


def test_every_program_is_tried(servers):
    assert {program.name for program in all_programs(servers)} == set(NEEDED)


@pytest.mark.parametrize(("program", "setting"), PAIRS)
def test_no_program_starts_without(program, setting, refusals):
    assert f"{setting} is not set: set it in the environment" in refusals[program, setting, None]


@pytest.mark.parametrize("program", NEEDED)
def test_no_program_has_a_secret_without_which_it_would_start(program, servers):
    """The scheduler had the keys to expiration's database and to RabbitMQ, and could make calls in its name."""
    page = (ROOT / "docs/settings.md").read_text()
    secrets = set(re.findall(r"^\| `(\w+)` \|.*\| yes \|$", page, re.M))

    assert secrets & set(environment(program, servers)) <= set(NEEDED[program])


@pytest.mark.parametrize(("program", "setting"), KEYS)
def test_no_program_starts_with_a_key_of_another_form(program, setting, refusals):
    output = refusals[program, setting, PEM]

    assert f"{setting} is not of the form ISSUER:NUMBER=BASE64, of 32 bytes: set it in the environment" in output
    assert "MC4CAQ" not in output


@pytest.mark.parametrize(("program", "setting"), ADDRESSES)
def test_no_program_starts_with_an_address_of_another_form(program, setting, refusals):
    output = refusals[program, setting, WEB_ADDRESS]

    assert re.search(
        rf"{setting} is not of the form (redis|mongodb|amqp|http)://.*HOST:PORT.*: set it in the environment", output
    )
    assert "never" not in output


@pytest.mark.parametrize(("program", "setting", "value"), MALFORMED)
def test_no_program_starts_with_a_setting_that_it_cannot_follow(program, setting, value, refusals):
    said = refusals[program, setting, value]

    assert re.match(rf"{setting} is (not of the form|shorter than) .*: set it in the environment", said)
    assert "never" not in said


@pytest.mark.parametrize(("program", "setting", "key"), [pytest.param(*one, id=one[0]) for one in UNKNOWN])
def test_no_program_starts_with_a_key_whose_tokens_nobody_would_accept(program, setting, key, refusals):
    said = refusals[program, setting, key]

    assert said.startswith(f"{setting} is not the private key of one in TOKEN_PUBLIC_KEYS: set it in the environment")


def test_payments_does_not_start_with_keys_of_both_modes(refusals):
    said = refusals[BOTH_MODES]

    assert said.startswith("STRIPE_PUBLISHABLE_KEY is of the other mode, live or test, than STRIPE_SECRET_KEY: set it")


@pytest.mark.parametrize("program", NEEDED)
def test_no_program_starts_with_a_secret_that_is_a_placeholder(program, refusals):
    setting = NEEDED[program][-1]

    output = refusals[program, setting, PLACEHOLDER]

    assert f"{setting} is still a placeholder: set it in the environment" in output
    assert PLACEHOLDER not in output


@pytest.mark.parametrize("program", NEEDED)
def test_no_program_shows_a_traceback_when_it_refuses_to_start(program, refusals):
    assert [change for change in CHANGES if change[0] == program and "Traceback" in refusals[change]] == []


@pytest.mark.parametrize("program", ["orders", *(program for program in NEEDED if program not in SERVICES)])
def test_whoever_runs_a_program_with_a_placeholder_sees_it_end_and_why(program, servers):
    """One stands for all services, which one command runs."""
    setting = NEEDED[program][-1]

    code, output = run(program, servers, **{setting: PLACEHOLDER})

    assert code not in (0, None)
    assert f"{setting} is still a placeholder: set it in the environment" in output
    assert "Traceback" not in output and PLACEHOLDER not in output


def run(program, servers, **changes):
    """Run a program until it ends, for ten seconds at most; return its exit code and output."""
    process = subprocess.Popen(
        command_of(program, servers),
        env=settings_of(program, servers) | changes,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    return process.returncode, output
