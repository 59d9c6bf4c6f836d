"""Fill a running system with demo data: `python -m dev.demo [URL] [--tickets N]`; prints its users' passwords."""

import argparse
import sys
import time

from dev.demo.buy import URL
from dev.demo.demonstration import TICKETS, fill
from dev.demo.visitor import DemoError


def main() -> None:
    """Fill the system; exit with a message and code 1 when it fails."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("url", nargs="?", default=URL)
    parser.add_argument("--tickets", type=int, default=TICKETS)
    options = parser.parse_args()
    began = time.monotonic()
    try:
        seller, buyer = fill(options.url, options.tickets)
    except DemoError as problem:
        sys.exit(f"\n{problem}")
    print(f"done in {time.monotonic() - began:.0f} s; sign in at {options.url}")
    for role, person in (("seller", seller), ("buyer", buyer)):
        print(f"  {role:<7} {person.email}  password {person.password}")


if __name__ == "__main__":
    main()
