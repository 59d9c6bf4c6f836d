"""Doing the same thing many times from several threads, and what that took."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Result:
    """Actions per second, and their latencies in milliseconds, sorted."""

    per_second: float
    latencies_ms: list[float]

    def percentile(self, percent: float) -> float:
        """Return the latency in milliseconds that this percentage did not exceed."""
        return self.latencies_ms[min(len(self.latencies_ms) - 1, int(len(self.latencies_ms) * percent / 100))]


def run(actions: Sequence[Callable[[], Any]], threads: int) -> Result:
    """Run every action once, from `threads` threads, each thread taking the next one that is left."""

    def timed(action: Callable[[], Any]) -> float:
        began = time.perf_counter()
        action()
        return (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        latencies = sorted(pool.map(timed, actions))
        return Result(len(actions) / (time.perf_counter() - began), latencies)


class Browser:
    """One kept-alive connection with one session cookie; not to be shared between threads."""

    def __init__(self, url: str, cookie: str = "") -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        self.cookie = cookie
        self.user_id = ""

    def send(self, method: str, path: str, body: Any = None, expected: int = 200, is_json: bool = True) -> Any:
        """Return the JSON of the answer, or its bytes; raise AssertionError when its status is not the expected one."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == expected, f"{method} {path}: {answer.status} {content[:200]!r}"
        if answer.getheader("Set-Cookie"):
            self.cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
        return json.loads(content) if content and is_json else content or None
