import math
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
import requests
from prometheus_client import CollectorRegistry, Gauge

from dev.stack import free_ports
from dev.testing import ROOT, metric, nameko_service, new_vhost, wait_for
from libs import internal_port, metrics
from libs.rpc import Client, RemoteError
from libs.settings import MissingSetting
from libs.tokens import new_key

COUNTING = """
from libs import internal_port, metrics
metrics.copies_repaired.labels("tickets in orders").inc(3)
metrics.relay_batch_events.labels("orders").observe(2)
internal_port.serve()
input()
"""


def listens(port, host="127.0.0.1"):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@pytest.fixture(scope="module")
def counting():
    """The port of a process that has counted three copies and one round of the relay."""
    port = free_ports().metrics
    command, environment = [sys.executable, "-c", COUNTING], {**os.environ, "METRICS_PORT": str(port)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, cwd=ROOT) as process:
        wait_for(lambda: listens(port))
        yield port
        process.kill()


def test_a_process_shows_what_it_counted(counting):
    assert metric(counting, "copies_repaired_total", copies="tickets in orders") == 3
    assert metric(counting, "relay_batch_events_sum", collection="orders") == 2
    assert metric(counting, "relay_batch_events_bucket", collection="orders", le="1.0") == 0


def test_only_this_machine_can_ask_unless_the_settings_say_otherwise(counting):
    assert not listens(counting, "127.0.0.2")


def test_a_process_without_a_port_serves_nothing(monkeypatch):
    monkeypatch.delenv("METRICS_PORT", raising=False)
    threads = threading.active_count()

    internal_port.serve()

    assert threading.active_count() == threads


@pytest.mark.parametrize(("host", "why"), [("127.0.0.1", "in use"), ("192.0.2.1", "assign"), ("no.host.invalid", "")])
def test_a_port_where_nothing_can_listen_stops_the_start_with_a_sentence(counting, monkeypatch, host, why):
    monkeypatch.setenv("METRICS_PORT", str(counting))
    monkeypatch.setenv("METRICS_HOST", host)

    with pytest.raises(MissingSetting, match=rf"^METRICS_PORT is {counting}, where METRICS_HOST, .*{why}.*: set it"):
        internal_port.serve()


def test_a_malformed_port_stops_the_start(monkeypatch):
    monkeypatch.setenv("METRICS_PORT", "many")

    with pytest.raises(MissingSetting, match="METRICS_PORT is not of the form NUMBER"):
        internal_port.serve()


def test_a_service_goes_on_while_somebody_reads_its_metrics_slowly(servers, monkeypatch):
    port = free_ports().metrics
    monkeypatch.setenv("METRICS_PORT", str(port))
    with (
        new_vhost(servers) as url,
        nameko_service("libs.rpc.tests.probe:Probe", "rpc-probe", AMQP_URI=url, TOKEN_PUBLIC_KEYS=new_key("auth:1")[1]),
        closing(Client(url, "gateway")) as client,
    ):
        wait_for(lambda: listens(port))
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"GET /metrics HTTP/1.1\r\n")
            client.call("probe", "echo", {"value": 0})
            started = time.monotonic()
            answers = [client.call("probe", "echo", {"value": number}) for number in range(20)]
            assert answers == list(range(20))
            assert time.monotonic() - started < 5  # the server looks for requests every half second: never in our way
            assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).ok
        with pytest.raises(RemoteError):
            client.call("probe", "refuse")
        wait_for(lambda: metric(port, "rpc_handled_seconds_count", method="probe.refuse", outcome="Taken") == 1)
        assert metric(port, "rpc_handled_seconds_count", method="probe.echo", outcome="ok") == 21
        assert metric(port, "workers", pool="quick") == 10
        assert metric(port, "workers_busy", pool="quick") == 0
        assert 0 <= metric(port, "event_loop_lag_seconds") < 5


def test_a_value_that_cannot_be_had_hides_no_other(monkeypatch):
    gauge = Gauge("broken", "For this test.", registry=CollectorRegistry())

    metrics.when_read(gauge, lambda: 1 / 0)

    (family,) = gauge.collect()
    assert math.isnan(family.samples[0].value)
