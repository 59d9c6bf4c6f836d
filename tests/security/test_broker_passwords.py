"""What an attacker gains at the services by the password of one of the broker's users, or by forged messages.

What they can do to the broker itself is in ops/tests/test_broker_attacks.py.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import jwt
import pytest
from kombu import Connection

from dev.testing import wait_for
from libs import wire
from libs.rpc import Client, RemoteError
from libs.rpc.topology import RPC_EXCHANGE

SECONDS = 40.0
GUESS = {"email": "ana@example.org", "password": "a guess", "address": "192.0.2.1"}
AS_THE_GATEWAY = {
    "auth.sign_in": GUESS,
    "auth.note_sessions": {"used": []},
    "auth.profiles": {"ids": []},
    "orders.refusals": {"asked": []},
    "payments.receive_webhook": {"payload": "{}", "signature": ""},
}
AS_ORDERS = {
    "auth.revocations": {"process": "mallory", "sessions": 0, "users": 0},
    "auth.end_action": {"action": "a1", "outcome": "success"},
    "tickets.changes": {},
    "tickets.snapshots": {"ids": []},
}


@pytest.fixture
def site_is_used(nobody):
    """Somebody looks at tickets, so that the gateway calls tickets in its own name."""
    ended = threading.Event()

    def look():
        while not ended.wait(0.1):
            nobody.get("/api/tickets")

    with ThreadPoolExecutor() as pool:
        looking = pool.submit(look)
        yield
        ended.set()
        looking.result(SECONDS)


def token_in_calls_to(part, amqp_url, caller):
    """Return a service's token from the calls to another one, which get to it all the same."""
    found, until = [], time.monotonic() + SECONDS

    def read(message):
        token = message.headers.get("nameko.token")
        if token and jwt.decode(token, options={"verify_signature": False})["iss"] == caller:
            found.append(token)
        channel.basic_reject(message.delivery_tag, requeue=True)

    with Connection(amqp_url) as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        channel.basic_consume(f"rpc-{part}", callback=read)
        while not found and time.monotonic() < until:
            with suppress(TimeoutError):
                connection.drain_events(timeout=1)
    assert found, f"{caller} has not called {part}"
    return found[0]


def answer(client, method, arguments, token):
    """Return "done" or the error's name."""
    try:
        client.call(*method.split("."), arguments, token=token)
    except RemoteError as refused:
        return refused.name
    return "done"


@pytest.mark.parametrize(
    ("part", "caller", "calls", "itself"),
    [
        ("tickets", "gateway", AS_THE_GATEWAY, {"tickets.watermark": {"process": "p" * 32, "number": 1}}),
        ("payments", "orders", AS_ORDERS, {"payments.versions": {}}),
    ],
)
def test_who_reads_the_calls_to_a_service_calls_no_other_in_the_name_of_who_made_them(
    part, caller, calls, itself, system, site_is_used
):
    url = system.amqp_url_for(part)
    token = token_in_calls_to(part, url, caller)

    with closing(Client(url, part)) as client:
        answers = {method: answer(client, method, about, token) for method, about in {**calls, **itself}.items()}

    assert answers == dict.fromkeys(calls, "Unauthenticated") | dict.fromkeys(itself, "done")


@pytest.fixture
def send_by_position(system, operator):
    """A function that calls a method as an operator does, but with arguments that have no names."""

    def send(method, *arguments):
        with Connection(system.amqp_url_for("operator")) as connection:
            channel = connection.channel()
            message = channel.prepare_message(
                wire.encode({"args": arguments, "kwargs": {}}),
                content_type="application/json",
                content_encoding="utf-8",
                headers={"nameko.token": operator.signer.mint_call(method)},
            )
            channel.basic_publish(message, RPC_EXCHANGE.name, method)

    return send


def test_an_action_with_arguments_by_position_is_in_the_history_of_its_order(person, operator, send_by_position):
    order_id = person("bo").reserve(person("ana").list_ticket())

    send_by_position("orders.cancel_by_operator", order_id, "nobody is to find this")

    actions = wait_for(lambda: operator.call("auth", "actions", order_id=order_id), 20, "the action to be recorded")
    (action,) = actions
    assert (action["method"], action["who"]) == ("orders.cancel_by_operator", "olga")
    assert action["reason"] == "nobody is to find this"
    assert action["arguments"] == {"order_id": order_id, "reason": "nobody is to find this"}


def test_no_password_is_recorded_that_an_operator_sends_by_position(operator, send_by_position):
    send_by_position("auth.sign_in", "ana@example.org", "correct horse battery", "192.0.2.1")

    def recorded():
        return [each for each in operator.call("auth", "actions", limit=5) if each["method"] == "auth.sign_in"]

    (action,) = wait_for(recorded, 20, "the action to be recorded")
    assert action["arguments"]["password"] == "***" and "horse" not in str(action)
