"""With many finished orders no request, listener or timer reads more, by MongoDB's profile of each of their queries.

Only what is counted for one event or one seller grows with what these have sold themselves, which is not many here.
FINISHED_ORDERS=1000000 has so many.
"""

import os
import time
from contextlib import ExitStack

import pytest

from dev.bench import system
from dev.bench.bulk_data import PARTS
from dev.bench.growth import sold_after_lapses
from dev.bench.load import Stream, asking, request
from dev.testing import commands_on, wait_for

pytestmark = pytest.mark.integration

FINISHED = int(os.environ.get("FINISHED_ORDERS", "10000"))
USERS = 200
MOST_READ = 1_001
"""A page of a site map, and whether there is another; a page of anti-entropy has half of that."""
TIMERS_SECONDS = 35
"""The slowest of the timers, except for the nightly audit, runs every 30."""


def see_everything(site, user):
    """Ask for every page and list that shows tickets or orders, as a guest, a buyer and a seller."""
    (ticket,) = site.put_on_sale(1)
    order = site.mongo.orders.orders.find_one({"buyer_id": user.id})["_id"]
    event = site.mongo.tickets.tickets.find_one({"_id": site.shown[-1]})["event_id"]
    for path in (
        *("/", "/tickets", "/tickets?q=hamlet&sort=price_asc", "/api/tickets", "/api/tickets?status=all"),
        *("/api/tickets?status=sold", "/api/tickets?q=hamlet", f"/tickets/{ticket}", f"/api/tickets/{ticket}"),
        *(f"/events/{event}", "/sitemap.xml", "/sitemap/tickets.xml", "/sitemap/events.xml"),
    ):
        site.load.run(Stream(asking(each) for each in [request("GET", path)]))
    own = ("/my/tickets", "/api/orders", f"/orders/{order}", f"/api/orders/{order}", f"/orders/{order}/progress")
    for person, paths in ((user, own), (site.seller, ("/selling", "/api/tickets/mine"))):
        site.load.run(Stream(asking(person.get(path)) for path in paths))


def buy_and_lapse(site):
    """Buy tickets; let one reservation end."""
    pairs = zip(site.newcomers(5), site.put_on_sale(5), strict=True)
    site.load.run(Stream((system.bought(*pair) for pair in pairs), connections=2))
    (buyer,), (ticket,) = site.newcomers(1), site.put_on_sale(1)
    site.load.run(Stream(iter([system.reserved(buyer, ticket)])))
    held = site.mongo.orders.orders.find_one({"ticket_id": ticket, "active": True})
    with site.operator() as operator:
        site.meter.settle()
        operator.call("orders.expire_now", order_id=held["_id"])
    site.meter.settle()


def compared_until(site):
    """Return up to when, in seconds since 1970, all comparisons have compared what changed."""
    stored = [each for part in PARTS for each in site.mongo[part].comparisons.find()]
    return min((each.get("position") or [0])[0] for each in stored)


def reads(noted):
    """Yield how much each query read, index keys or documents: (number, collection, command, its fields, its plan)."""
    for each in noted:
        command = each.get("command", {})
        asked = command.get("filter") or command.get("q") or command.get("query") or command.get("pipeline") or {}
        read = max(each.get("docsExamined", 0), each.get("keysExamined", 0))
        yield read, each["ns"], next(iter(command), each["op"]), str(asked)[:200], each.get("planSummary")


def test_nothing_reads_more_beside_many_finished_orders():
    with system.opened([]) as site:
        user, sale = sold_after_lapses(site)
        sale.copy(FINISHED // sale.orders, USERS)
        copied_at = time.time()  # the copies have one `changed_at`, so that a comparison reads all of them at once
        wait_for(lambda: compared_until(site) > copied_at, 60, "the copies to be compared")
        site.meter.settle()
        with ExitStack() as profiled:
            noted = {part: profiled.enter_context(commands_on(site.mongo[part])) for part in (*PARTS, "auth")}
            see_everything(site, user)
            buy_and_lapse(site)
            time.sleep(TIMERS_SECONDS)  # until each has run

    assert all(len(commands) > 20 for commands in noted.values())
    found = [each for commands in noted.values() for each in reads(commands)]
    assert [each for each in found if each[0] > MOST_READ] == []
