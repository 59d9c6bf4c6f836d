"""A relay as a process of its own: `relay_process AMQP_URL MONGO_URL MOMENT`.

MOMENT is what the process does to itself at its first batch: kill-before, kill-after, stop-before, stop-after or never.
"""

import os
import signal
import sys

from libs.amqp import Publisher
from libs.database import connect
from libs.events import Aggregates, Relay
from libs.events.tests.bakery.catalogue import CATALOGUE

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Interrupted(Publisher):
    moment = "never"

    def publish(self, batch):
        done, self.moment = self.moment, "never"
        what, _, when = done.partition("-")
        if when == "before":
            os.kill(os.getpid(), SIGNALS[what])
        failed = super().publish(batch)
        if when == "after":
            os.kill(os.getpid(), SIGNALS[what])
        return failed


if __name__ == "__main__":
    amqp_url, mongo_url, moment = sys.argv[1:]
    publisher = Interrupted(amqp_url, declare=CATALOGUE.declare)
    publisher.moment = moment
    Relay(publisher, [Aggregates(connect(mongo_url).loaves)], lease_seconds=1, poll_seconds=0.2).run()
