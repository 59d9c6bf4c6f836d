"""A service that hangs, but whose connections are open: others do its work before long."""

import signal
from contextlib import closing, suppress

import pytest

from dev.testing import nameko_service, wait_for
from libs.rpc import Client, ServiceUnavailable
from libs.tokens import new_key

pytestmark = pytest.mark.integration


def start(amqp_url):
    return nameko_service(
        "libs.rpc.tests.probe:Probe", "rpc-probe", AMQP_URI=amqp_url, TOKEN_PUBLIC_KEYS=new_key("auth:1")[1]
    )


def answers(client):
    with suppress(ServiceUnavailable):
        return client.call("probe", "echo", {"value": 1})


def test_every_call_is_answered_again_soon_after_one_of_two_instances_hangs(amqp_url):
    with start(amqp_url) as hanging, start(amqp_url), closing(Client(amqp_url, "gateway", timeout=0.5)) as client:
        wait_for(lambda: answers(client))
        hanging.send_signal(signal.SIGSTOP)

        wait_for(lambda: all(answers(client) for _ in range(10)), 40, "the broker to give the other all calls")
