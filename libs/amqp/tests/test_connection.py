from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from libs.amqp.connection import connected
from libs.tests.tcp_proxy import TcpProxy


def test_what_fails_because_the_broker_hangs_waits_for_it_no_longer(amqp_url, monkeypatch):
    monkeypatch.setattr("libs.amqp.connection.SILENCE_SECONDS", 30)

    def fail(proxy):
        with connected(proxy.url, heartbeat=0):
            proxy.silent.set()
            raise ConnectionError("too many heartbeats are missed")

    with closing(TcpProxy(amqp_url)) as proxy, ThreadPoolExecutor(1) as pool:
        assert isinstance(pool.submit(fail, proxy).exception(10), ConnectionError)
