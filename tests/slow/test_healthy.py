"""A system that works raises no alert: Debian's Prometheus watches it while a few people use it.

HEALTHY_MINUTES says for how long; `make test-slow` takes an hour.
"""

import itertools
import os
import time

import pytest

from tests.e2e import invariants
from tests.slow.prometheus import watched

MINUTES = float(os.environ.get("HEALTHY_MINUTES", "10"))
PAUSE_SECONDS = 4.0

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60 * MINUTES + 600)]


class Visits:
    """What people do who visit the site, one after the other: all that is no fault."""

    def __init__(self, operator):
        self.operator, self.count = operator, itertools.count()

    def __call__(self, buyer, seller):
        ticket_id = seller.list_ticket()
        order_id = buyer.reserve(ticket_id)
        assert buyer.post("/api/orders", {"ticketId": ticket_id}).status_code == 409
        assert buyer.get(f"/tickets/{ticket_id}").status_code == 200
        match next(self.count) % 4:
            case 0:
                assert buyer.delete(f"/api/orders/{order_id}").status_code == 204
            case 1:
                self.operator.let_expire(order_id)
            case 2:
                assert buyer.pay(order_id, "tok_chargeDeclined").status_code == 402
                assert buyer.pay(order_id).status_code == 201
            case _:
                assert buyer.pay(order_id).status_code == 201


def test_no_alert_fires_while_nothing_is_wrong(tmp_path):
    with watched(tmp_path) as site:
        visits = Visits(site.operator)
        with site.busy(visits, people=1, pause=PAUSE_SECONDS):
            time.sleep(60 * MINUTES)  # nothing but time can show this

        fired = site.query(f'count by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{MINUTES:.0f}m]))')
        assert fired == []
        assert next(visits.count) > 60 * MINUTES / (PAUSE_SECONDS + 10)  # people could use it
        assert float(site.query("min(up)")[0]["value"][1]) == 1
        invariants.check(site.system)
