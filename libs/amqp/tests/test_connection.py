from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from libs.amqp.connection import connected
from libs.amqp.tests.line import Line


def test_what_fails_because_the_broker_hangs_waits_for_it_no_longer(amqp_url, monkeypatch):
    monkeypatch.setattr("libs.amqp.connection.SILENCE_SECONDS", 30)

    def fail(line):
        with connected(line.url, heartbeat=0):
            line.silent.set()
            raise ConnectionError("too many heartbeats are missed")

    with closing(Line(amqp_url)) as line, ThreadPoolExecutor(1) as pool:
        assert isinstance(pool.submit(fail, line).exception(10), ConnectionError)
