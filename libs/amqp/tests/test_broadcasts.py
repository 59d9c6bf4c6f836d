"""Listening to broadcasts beside other work, in a process of its own, as those of the gateway and of services."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GEVENT = "from gevent import monkey; monkey.patch_all()"
EVENTLET = "from libs import monkey; monkey.patch()"
BURST = """
import sys, threading, time
from kombu import Connection
from libs.amqp.broadcasts import BroadcastListener

AMQP_URL, COUNT, SIZE = sys.argv[1], 4000, 1000
heard, between, stopping = [], [], threading.Event()

def publish():
    with Connection(AMQP_URL) as connection, connection.channel() as channel:
        message = channel.prepare_message(bytes(SIZE))
        for _ in range(COUNT):
            channel.basic_publish(message, "source", "event")

def hear(message):
    heard.append(message)
    until = time.thread_time() + 0.0003  # longer than the broker takes to send one
    while time.thread_time() < until:
        pass

def work():
    while len(heard) < COUNT:
        before = len(heard)
        time.sleep(0.001)
        between.append(len(heard) - before)
    stopping.set()

with Connection(AMQP_URL) as connection, connection.channel() as channel:
    channel.exchange_declare("source", "topic", durable=True, auto_delete=False)
others = threading.Thread(target=work)
others.start()
BroadcastListener("test", AMQP_URL, "source", "#", hear, on_bound=publish, check_seconds=0.1).run(stopping)
others.join()
print(max(between))
"""


@pytest.mark.parametrize("patch", [GEVENT, EVENTLET], ids=["gevent", "eventlet"])
def test_a_burst_of_events_does_not_hold_up_what_a_process_does_beside_them(amqp_url, patch):
    command = [sys.executable, "-W", "ignore", "-c", f"{patch}\n{BURST}", amqp_url]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 200, "so many events were handled while something else was to be done"
