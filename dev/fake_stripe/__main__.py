"""Run the fake Stripe until it is stopped.

Settings: STRIPE_WEBHOOK_SECRET (required; of several the first signs), FAKE_STRIPE_PORT (12111),
FAKE_STRIPE_WEBHOOK_URL (where signed webhooks go, of the types to which our endpoint at Stripe subscribes; unset:
nowhere), FAKE_STRIPE_STATE (a file that keeps everything across kill -9; unset: memory), FAKE_STRIPE_HOST (127.0.0.1,
and nothing else is accepted), FAKE_STRIPE_IN_CONTAINER (1 inside a container: it listens on all its addresses and sends
webhooks to other containers; publish the port on 127.0.0.1 at most).
"""

import logging
import os
import signal
import sqlite3
import sys

from dev.fake_stripe.server import EVERY_ADDRESS, HOST, PublicAddress, listening
from libs import logs
from libs.contracts.stripe_keys import WEBHOOK_SECRET
from libs.contracts.stripe_webhooks import SUBSCRIBED_TYPES
from libs.settings import FLAG_FORM, between, flag, optional, parsed

DEFAULT_PORT = 12111

log = logging.getLogger("dev.fake_stripe")


def main() -> None:
    """Read the settings and serve."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    secret = parsed("STRIPE_WEBHOOK_SECRET", *WEBHOOK_SECRET).partition(",")[0].rstrip()
    port = optional("FAKE_STRIPE_PORT", DEFAULT_PORT, *between(0, 65535))
    url = os.environ.get("FAKE_STRIPE_WEBHOOK_URL") or None
    path = os.environ.get("FAKE_STRIPE_STATE") or None
    in_container = optional("FAKE_STRIPE_IN_CONTAINER", False, flag, FLAG_FORM)
    host = os.environ.get("FAKE_STRIPE_HOST") or (EVERY_ADDRESS if in_container else HOST)
    try:
        with listening(port, secret, url, path, host, in_container, SUBSCRIBED_TYPES) as server:
            address = f"http://{HOST}:{server.port}"
            log.info("fake Stripe on %s, webhooks to %s, state in %s", address, url or "nowhere", path or "memory")
            server.serve_forever(poll_interval=60)  # only the signal ends it
    except (PublicAddress, ValueError) as problem:
        sys.exit(str(problem))
    except sqlite3.Error as problem:
        sys.exit(f"FAKE_STRIPE_STATE, {path}, cannot be used: {problem}")


if __name__ == "__main__":
    logs.run(main)
