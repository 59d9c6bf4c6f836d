"""The load generator, against a server of a few lines."""

import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from dev.bench.load import Load, Stream, asking, percentile, request

BODY = b"x" * 200_000


def serve(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection):
    with connection, suppress(OSError):
        while wanted := connection.recv(65_536):
            if b"/close" in wanted:
                return
            status, body = (b"404 NOT FOUND", b"") if b"/missing" in wanted else (b"200 OK", BODY)
            head = b"HTTP/1.1 " + status + b"\r\ncontent-length: %d\r\n\r\n" % len(body)
            for part in (head[:9], head[9:] + body[:1000], body[1000:]):  # replies come in pieces
                connection.sendall(part)


@pytest.fixture
def load():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield Load("127.0.0.1", listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def test_every_actor_gets_the_whole_reply_to_each_of_its_requests(load):
    seen = []

    def actor(number):
        first = yield request("GET", "/")
        second = yield request("GET", f"/{number}")
        seen.extend([len(first.body), len(second.body)])

    stream = Stream((actor(number) for number in range(20)), connections=4)
    load.run(stream)

    assert seen == [len(BODY)] * 40
    assert len(stream.latencies_ms) == 40


def test_an_unexpected_status_ends_the_measurement(load):
    with pytest.raises(AssertionError, match="404 instead of 200"):
        load.run(Stream(iter([asking(request("GET", "/missing"))])))


def test_a_connection_that_is_closed_without_a_reply_gives_status_0(load):
    statuses = []

    def actor():
        statuses.append((yield request("GET", "/close")).status)
        statuses.append((yield request("GET", "/")).status)

    load.run(Stream(iter([actor()])))

    assert statuses == [0, 200]


def test_arrivals_come_at_their_rate_beside_a_background_that_ends_with_them(load):
    arriving = Stream((asking(request("GET", "/")) for _ in range(20)), per_second=200)
    endless = Stream(iter(lambda: asking(request("GET", "/")), None), connections=1, background=True)

    seconds = load.run(endless, arriving)

    assert len(arriving.latencies_ms) == 20
    assert endless.latencies_ms
    assert seconds >= 19 / 200


def test_those_who_come_keep_their_connections_open_until_the_last_has_its_reply():
    ended = []

    def serve_three(listener):
        with ExitStack() as accepted:
            connections = [accepted.enter_context(listener.accept()[0]) for _ in range(3)]
            for connection in connections:
                connection.recv(65_536)
            for connection in connections:
                ended.extend(select.select(connections, [], [], 0.1)[0])
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    coming = Stream((asking(request("GET", "/")) for _ in range(3)), per_second=1000)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve_three, listener)
        Load("127.0.0.1", listener.getsockname()[1]).run(coming)
        serving.result(10)

    assert ended == []


def test_a_connection_that_takes_a_moment_to_open_gets_its_reply():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        # it lets one or two connect until it accepts them
        serving = threading.Timer(0.2, serve, (listener,))
        serving.daemon = True
        serving.start()
        stream = Stream((asking(request("GET", "/")) for _ in range(4)), connections=4)
        Load("127.0.0.1", listener.getsockname()[1]).run(stream)
        listener.shutdown(socket.SHUT_RDWR)

    assert len(stream.latencies_ms) == 4


def test_a_percentile_is_what_so_many_did_not_exceed():
    assert percentile([5.0, 1.0, 3.0, 2.0, 4.0], 50) == 3.0
    assert percentile([5.0, 1.0], 99) == 5.0
