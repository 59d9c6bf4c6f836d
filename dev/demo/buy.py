"""Try out a running system: `python -m dev.demo.buy [URL] [--race BUYERS]`.

A seller lists a ticket, and a buyer reserves it and pays with a test card. With --race, that many buyers then order one
ticket at the same moment, and exactly one must get it.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from dev.demo.shows import price
from dev.demo.visitor import DemoError, Visitor

URL = "http://localhost:8000"


def main() -> None:
    """Run the command line; exit with a message and code 1 when the system fails."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo.buy", description=__doc__)
    parser.add_argument("url", nargs="?", default=URL)
    parser.add_argument("--race", type=int, default=0, metavar="BUYERS")
    options = parser.parse_args()
    try:
        buy(options.url)
        if options.race:
            race(options.url, options.race)
    except DemoError as problem:
        sys.exit(str(problem))


def buy(url: str) -> None:
    """Buy one ticket; raise DemoError when that goes wrong."""
    began = time.monotonic()
    seller, buyer = _signed_up(url, "seller"), _signed_up(url, "buyer")
    ticket = seller.sell(title="Hamlet, row 3", price=price(1999), category="stage")
    order = buyer.reserve(ticket)
    buyer.pay(order)
    buyer.wait_for_status("orders", order, "complete")
    buyer.wait_for_status("tickets", ticket, "sold")
    print(f"bought a ticket in {time.monotonic() - began:.1f} s: order {order} is complete, the ticket is sold")


def race(url: str, size: int) -> None:
    """Have `size` buyers order one ticket at once; raise DemoError unless one gets it and the others get 409."""
    ticket = _signed_up(url, "seller").sell(title="The last ticket", price=price(5000), category="concert")
    with ThreadPoolExecutor(8) as pool:
        buyers = list(pool.map(lambda number: _signed_up(url, f"racer{number}"), range(size)))
    began = time.monotonic()
    with ThreadPoolExecutor(size) as pool:
        answers = Counter(pool.map(lambda buyer: _order(buyer, ticket), buyers))
    print(f"{size} buyers ordered one ticket in {time.monotonic() - began:.1f} s: answers {dict(answers)}")
    if answers != {201: 1, 409: size - 1}:
        raise DemoError("exactly one order should be created (201), and the others refused (409)")


def _signed_up(url: str, name: str) -> Visitor:
    visitor = Visitor(url, name)
    visitor.sign_up()
    return visitor


def _order(buyer: Visitor, ticket: str) -> int:
    return buyer.http.post(f"{buyer.url}/api/orders", json={"ticketId": ticket}, timeout=30).status_code


if __name__ == "__main__":
    main()
