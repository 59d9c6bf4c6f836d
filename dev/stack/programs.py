"""The programs of the system: their commands, and the only settings that each gets."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import requests

from dev.stack.layout import STRIPE, Layout
from dev.stack.ports import HOST, SERVE_METRICS
from dev.stack.servers import answers, ask
from dev.stack.supervisor import Program
from libs.contracts.parts import BROKER_USERS, OPERATOR, PARTS, SERVICES
from libs.settings import CA_FILES

LOGGING = ("LOG_LEVEL", "LOG_FORMAT")
OF_MONGO = ("MONGO_READ_PREFERENCE", "MONGO_WRITE_CONCERN")
PASSED_ON = (*LOGGING, "QUEUE_TYPE", *CA_FILES.values(), *OF_MONGO, "BROKER_VERIFY_SECONDS")
"""Passed on from the caller to every program."""
TRACING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
)
PASSED_TO_PARTS = ("RESERVATION_WINDOW_SECONDS", "CURRENCY", *TRACING)
PASSED_TO = {  # to one program only
    "auth": ("SIGN_UPS_PER_ADDRESS",),
    "orders": ("UNPAID_RESERVATIONS_PER_BUYER", "UNPAID_RESERVATIONS_PER_HOUR"),
    "worker": TRACING,
    "gateway": ("GATEWAY_PROXIES", "GATEWAY_TEXTS", "GATEWAY_TLS", "GATEWAY_TRUSTED_HOSTS", "TIME_ZONE"),
    "migrate": (CA_FILES["MONGO"],),
    OPERATOR: (CA_FILES["AMQP"],),
}
USES_STRIPE = {"payments": (*STRIPE, "STRIPE_API_BASE"), "gateway": ("STRIPE_PUBLISHABLE_KEY", "STRIPE_API_BASE")}
BROKER_SETUP = "broker-setup"


def all_programs(stack: Layout) -> list[Program]:
    """Return every program of the system, in order of start."""
    return [program(name, stack) for name in commands(stack)]


def program(name: str, stack: Layout, copy: int = 0) -> Program:
    """Return a copy of the program `name`."""
    return Program(name, commands(stack)[name], partial(_is_ready, name, stack, copy), environment(name, stack, copy))


def commands(stack: Layout) -> dict[str, list[str]]:
    """Return the command of each program of the system, in order of start."""
    python = sys.executable
    gunicorn = [python, "-m", "gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()"]
    found = {
        BROKER_SETUP: [python, "-m", "ops.broker_setup"],
        **{name: [python, "-m", "libs.service", f"{name}/config.yml", f"{name}.service"] for name in SERVICES},
        "scheduler": [python, "-m", "expiration.scheduler"],
        "worker": [python, "-m", "expiration.worker"],
        "gateway": gunicorn,
    }
    return found if stack.uses_real_stripe else {"fake-stripe": [python, "-m", "dev.fake_stripe"], **found}


def no_programs(_stack: Layout) -> list[Program]:
    """Return no program: for a stack of servers alone."""
    return []


def environment(name: str, stack: Layout, copy: int = 0) -> dict[str, str]:
    """Return the settings of a copy of the program `name`, of `migrate`, or of `operator`, except the operator's key.

    A copy listens on the ports of the node of its number, and prefers that node's broker.
    """
    ports = stack.nodes[copy].ports
    prefix = name.upper()
    settings = {setting: stack.environ[setting] for setting in passed_on(name) if stack.environ.get(setting)}
    if name in SERVE_METRICS:
        settings["METRICS_PORT"] = str(ports.metrics_of(name))
    if name not in PARTS:
        return settings | _without_keys(stack, copy)[name]
    settings |= {
        f"{prefix}_AMQP_URL": stack.amqp_url_for(name, copy),
        f"{prefix}_SIGNING_KEY": stack.secrets[f"{prefix}_SIGNING_KEY"],
        "TOKEN_PUBLIC_KEYS": stack.secrets["TOKEN_PUBLIC_KEYS"],
    }
    if name in SERVICES:
        settings[f"{prefix}_MONGO_URL"] = stack.mongo_url_for(name)
    if name == "expiration":
        settings["EXPIRATION_REDIS_URL"] = stack.redis_url_for(name)
    known = stripe_settings(stack)
    settings |= {setting: known[setting] for setting in USES_STRIPE.get(name, ()) if setting in known}
    if name == "auth":
        settings["AUTH_ENCRYPTION_KEY"] = stack.secrets["AUTH_ENCRYPTION_KEY"]
    if name in ("auth", "gateway"):
        settings["PUBLIC_URL"] = stack.public_url
    if name == "gateway":
        settings["GATEWAY_SECRET_KEY"] = stack.secrets["GATEWAY_SECRET_KEY"]
        settings["GATEWAY_PORT"] = str(ports.gateway)
    return settings


def _without_keys(stack: Layout, copy: int) -> Mapping[str, dict[str, str]]:
    """Return the settings of the programs that call no service in their own name."""
    return {
        "scheduler": {"SCHEDULER_REDIS_URL": stack.redis_url_for("scheduler")},
        "worker": {
            "EXPIRATION_AMQP_URL": stack.amqp_url_for("expiration", copy),
            "EXPIRATION_MONGO_URL": stack.mongo_url_for("expiration"),
            "WORKER_REDIS_URL": stack.redis_url_for("worker"),
        },
        "fake-stripe": {
            "FAKE_STRIPE_PORT": str(stack.ports.stripe),
            "FAKE_STRIPE_STATE": str(stack.folder / "fake-stripe.json"),
            "FAKE_STRIPE_WEBHOOK_URL": f"{stack.gateway_url}/api/webhooks/stripe",
            "STRIPE_WEBHOOK_SECRET": stack.secrets["STRIPE_WEBHOOK_SECRET"],
        },
        "migrate": {
            **{f"{service.upper()}_MONGO_URL": stack.mongo_url_for(service) for service in SERVICES},
            "MIGRATE_MONGO_PASSWORD": stack.secrets["MIGRATE_MONGO_PASSWORD"],
        },
        BROKER_SETUP: {
            **{f"{each.upper()}_AMQP_URL": stack.amqp_url_for(each) for each in BROKER_USERS},
            "RABBITMQ_MANAGEMENT_URL": stack.management_url,
            "RABBITMQ_PASSWORD": stack.secrets["RABBITMQ_PASSWORD"],
        },
        OPERATOR: {"OPERATOR_AMQP_URL": stack.amqp_url_for(OPERATOR)},
    }


def passed_on(name: str) -> tuple[str, ...]:
    """Return the settings that the program `name` takes from the caller's environment, when they are set there."""
    if name in ("fake-stripe", "migrate", OPERATOR):
        return (LOGGING if name != OPERATOR else ()) + PASSED_TO.get(name, ())
    return PASSED_ON + (PASSED_TO_PARTS if name in PARTS else ()) + PASSED_TO.get(name, ())


def stripe_settings(stack: Layout) -> Mapping[str, str]:
    """Return the caller's Stripe keys when all three are set, else those of the fake and its address."""
    if stack.uses_real_stripe:
        return {setting: stack.environ[setting] for setting in STRIPE}
    return {**{setting: stack.secrets[setting] for setting in STRIPE}, "STRIPE_API_BASE": stack.stripe_url}


def _is_ready(name: str, stack: Layout, copy: int) -> bool:
    if name == "fake-stripe":
        return answers(stack.ports.stripe)
    ports = stack.nodes[copy].ports
    port = ports.gateway if name == "gateway" else ports.metrics_of(name)
    with suppress(requests.RequestException):
        return ask("GET", f"http://{HOST}:{port}/readyz", timeout=10).ok
    return False
