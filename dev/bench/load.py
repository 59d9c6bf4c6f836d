"""Requests over many kept-alive connections from one thread, which costs little compared with the measured system.

An actor is a generator that yields requests, as bytes, and is sent the reply to each. It raises AssertionError when a
reply is wrong.
"""

import json
import re
import select
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

LONGEST_SECONDS = 120.0
HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True)
class Reply:
    """The status of a reply, its head and its body; status 0 when the connection was closed without one."""

    status: int
    head: bytes = b""
    body: bytes = b""

    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


Actor = Generator[bytes, Reply, None]


@dataclass
class Stream:
    """Actors that do the same, one after the other on each of `connections`, and the milliseconds each reply took.

    With `per_second` they come at that rate instead, each on a connection of its own, however many wait: their first
    reply is timed from the moment at which they had to come. A stream in the `background` ends with the others.
    Connections stay open until the end, as those of browsers do.
    """

    actors: Iterator[Actor]
    connections: int = 16
    per_second: float = 0.0
    background: bool = False
    latencies_ms: list[float] = field(default_factory=list)


def request(method: str, path: str, cookie: str = "", body: Any = None, form: str | None = None) -> bytes:
    """Return a request, with a body as JSON or a form's fields as they are sent."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n" + (f"Cookie: {cookie}\r\n" if cookie else "")
    if body is None and form is None:
        return f"{head}\r\n".encode()
    kind, content = ("x-www-form-urlencoded", form) if form is not None else ("json", json.dumps(body))
    return f"{head}Content-Type: application/{kind}\r\nContent-Length: {len(str(content))}\r\n\r\n{content}".encode()


def asking(wanted: bytes, expected: int = 200) -> Actor:
    """Return the actor that makes one request and gets this status."""
    check(expected, (yield wanted))


def check(expected: int, reply: Reply) -> Reply:
    """Return the reply; raise AssertionError when its status is another."""
    assert reply.status == expected, f"{reply.status} instead of {expected}: {reply.body[:200]!r}"
    return reply


def asking_for(seconds: float, requests: Sequence[bytes]) -> Iterator[Actor]:
    """Yield actors that make these requests again and again, for so long."""
    until = time.perf_counter() + seconds
    for wanted in cycle(requests):
        if time.perf_counter() > until:
            return
        yield asking(wanted)


class _Line:
    """One connection and the actor that uses it."""

    socket: socket.socket
    actor: Actor
    began: float

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.received: list[bytes] = []
        self.missing = 0
        self.unsent = b""

    def feed(self, data: bytes) -> Reply | None:
        """Return the reply once all of it has come; until then `missing` is how many bytes have not."""
        self.received.append(data)
        if self.missing:
            self.missing -= len(data)
            if self.missing > 0:
                return None
        whole = data if len(self.received) == 1 else b"".join(self.received)
        end = whole.find(HEAD_END)
        if end < 0:
            return None
        head = whole[:end]
        found = LENGTH.search(head)
        size = end + 4 + (int(found[1]) if found else 0)
        if len(whole) < size:
            self.missing = size - len(whole)
            return None
        self.received, self.missing = [], 0
        return Reply(int(head[9:12]), head, whole[end + 4 :])


class Load:
    """Runs streams against the server at an address, all at once."""

    ended_at = 0.0
    """When the last run ended, by `time.monotonic`."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port

    def run(self, *streams: Stream) -> float:
        """Run until the streams that are not in the background have ended; return the seconds that took."""
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._busy = 0
        began = time.perf_counter()
        coming = [stream for stream in streams if stream.per_second]
        arrivals = {id(stream): began for stream in coming}
        for stream in streams:
            if not stream.per_second:
                for _ in range(stream.connections):
                    self._open(stream)
        try:
            while self._busy or any(not stream.background for stream in coming):
                now = time.perf_counter()
                assert now - began < LONGEST_SECONDS, f"not done after {LONGEST_SECONDS:.0f} s"
                for stream in list(coming):
                    while arrivals[id(stream)] <= now:
                        if not self._open(stream, arrivals[id(stream)]):
                            coming.remove(stream)
                            break
                        arrivals[id(stream)] += 1 / stream.per_second
                wait = min((arrivals[id(stream)] for stream in coming), default=now + 0.05) - time.perf_counter()
                for number, event in self._poll.poll(max(0.0, wait)):
                    self._serve(self._lines[number], event)
            return time.perf_counter() - began
        finally:
            self.ended_at = time.monotonic()
            for line in self._lines.values():
                line.socket.close()
            self._poll.close()

    def _open(self, stream: Stream, since: float | None = None) -> bool:
        """Start the next actor on a new connection; return False when there is none."""
        line = _Line(stream)
        if not self._next_actor(line):
            return False
        if since is not None:
            line.began = since
        self._busy += not stream.background
        self._connect(line)
        return True

    def _connect(self, line: _Line) -> None:
        line.socket = socket.socket()
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.socket.setblocking(False)
        with suppress(BlockingIOError):
            line.socket.connect(self._address)
        self._lines[line.socket.fileno()] = line
        try:
            self._write(line)
            self._poll.register(line.socket, select.EPOLLIN)
        except OSError:  # it is not connected yet, or cannot be
            self._poll.register(line.socket, select.EPOLLOUT)

    def _next_actor(self, line: _Line) -> bool:
        actor = next(line.stream.actors, None)
        if actor is None:
            return False
        line.actor, line.unsent, line.began = actor, next(actor), time.perf_counter()
        return True

    def _serve(self, line: _Line, event: int) -> None:
        if event & select.EPOLLOUT:
            self._poll.modify(line.socket, select.EPOLLIN)
            self._send(line)
            return
        try:
            data = line.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        reply = line.feed(data) if data else Reply(0)
        if reply is not None:
            self._pass_on(line, reply)

    def _pass_on(self, line: _Line, reply: Reply) -> None:
        """Give the actor its reply, and send the next request of it, or of the stream's next actor."""
        line.stream.latencies_ms.append((time.perf_counter() - line.began) * 1000)
        try:
            line.unsent, line.began = line.actor.send(reply), time.perf_counter()
        except StopIteration:
            if line.stream.per_second or not self._next_actor(line):
                self._busy -= not line.stream.background
                self._poll.unregister(line.socket)
                return
        if reply.status:
            self._send(line)
        else:
            self._drop(line)
            self._connect(line)

    def _send(self, line: _Line) -> None:
        try:
            self._write(line)
        except OSError:
            self._pass_on(line, Reply(0))

    def _write(self, line: _Line) -> None:
        sent = line.socket.send(line.unsent)
        assert sent == len(line.unsent), "a request does not fit"

    def _drop(self, line: _Line) -> None:
        line.received, line.missing = [], 0
        del self._lines[line.socket.fileno()]
        self._poll.unregister(line.socket)
        line.socket.close()


def percentile(latencies: Iterable[float], percent: float) -> float:
    """Return the latency that this percentage did not exceed."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def in_threads(actions: Sequence[Callable[[], Any]], threads: int) -> tuple[float, list[float]]:
    """Run every action once, from so many threads; return the seconds it took, and each one's milliseconds."""

    def timed(action: Callable[[], Any]) -> float:
        began = time.perf_counter()
        action()
        return (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        latencies = list(pool.map(timed, actions))
        return time.perf_counter() - began, latencies
