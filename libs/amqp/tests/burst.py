"""A burst of messages for a listener beside other work, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "from libs import monkey; monkey.patch()",
}
"""How the gateway and the services patch the standard library."""
SCRIPT = """
import sys, threading, time
from libs.amqp.broadcasts import BroadcastListener
from libs.amqp.connection import connected

AMQP_URL, COUNT, SIZE = sys.argv[1], 2000, 1000
heard, between, stopping = [], [], threading.Event()

def publish():
    with connected(AMQP_URL, 0) as connection, connection.channel() as channel:
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

with connected(AMQP_URL, 0) as connection, connection.channel() as channel:
    channel.exchange_declare("source", "topic", durable=True, auto_delete=False)
others = threading.Thread(target=work)
others.start()
BroadcastListener("test", AMQP_URL, "source", "#", hear, on_bound=publish, check_seconds=0.1).run(stopping)
others.join()
print(max(between))
"""


def most_handled_at_once(library, amqp_url, **environ):
    """Return how many of 2,000 messages such a process handles at most before other work has its turn."""
    command = [sys.executable, "-W", "ignore", "-c", f"{PATCHES[library]}\n{SCRIPT}", amqp_url]
    environ = {**os.environ, **environ}
    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)
