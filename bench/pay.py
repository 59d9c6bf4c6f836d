"""How long a buyer waits from "pay" to a complete order: the whole system here, the fake Stripe answering at once.

`python -m bench.pay [purchases]` prints the median and the 95th percentile in milliseconds, one purchase at a time.
The real Stripe adds the time of its own answers: eight of them are waited for when a card token is paid with.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from libs.stack import Stack, free_ports
from tests.e2e.people import Person


def main(purchases: int) -> None:
    """Buy, and print how long it took."""
    folder = Path(tempfile.mkdtemp(prefix="ticketing-"))
    try:
        with Stack(folder, free_ports(), environ={}) as system:
            seller, buyer = (Person(system.gateway_url, name).sign_up() for name in ("ana", "bo"))
            for _ in range(5):
                purchase(seller, buyer)
            report(sorted(purchase(seller, buyer) for _ in range(purchases)))
    finally:
        shutil.rmtree(folder)


def purchase(seller: Person, buyer: Person) -> float:
    """Return the seconds that paying one order took, up to the answer that it is complete."""
    order_id = buyer.reserve(seller.list_ticket())
    began = time.perf_counter()
    answer = buyer.pay(order_id)
    took = time.perf_counter() - began
    assert answer.json()["status"] == "complete", answer.text
    return took


def report(seconds: list[float]) -> None:
    """Print the percentiles."""
    p95 = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
    print(f"{len(seconds)} purchases: p50 {1000 * statistics.median(seconds):.0f} ms, p95 {1000 * p95:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
