"""TICKETING_SEARCH=deep searches further, for half an hour or so; -s prints the states and the traces."""

import os
import time
from contextlib import suppress
from functools import cache
from itertools import product

import mongomock
import pytest

from libs.events import VersionConflict
from orders.domain import next_status
from payments.store import PaymentStore
from tests.protocol.model import Claim, Document, Intent, Limits, Worker, World
from tests.protocol.rules import Rules, store_document, stored_document
from tests.protocol.search import search, walk
from tests.protocol.switches import (
    AUTHORIZED,
    EXTENDING,
    FAILING,
    FAILING_PARTIAL_REFUNDS,
    ON_SALE,
    ONE_ORDER,
    PAID,
    PARTIAL_REFUNDS,
    REFUNDED,
    REFUSING,
    REPEATED_PARTIAL_REFUNDS,
    RESERVING,
    RETURNED_REFUNDS,
    SWITCHES,
    TWO_PAYMENTS,
)
from tests.protocol.workers import steps

IS_DEEP = os.environ.get("TICKETING_SEARCH") == "deep"
WALKING_SECONDS = 1200 if IS_DEEP else 1
EVERYTHING = Limits(
    orders=3, workers=3, payments=2, declines=3, refusals=2, failures=2, days=True, seller=2, racing=True,
    operator=True, extending=True, partial_refunds=3, late=True, returned=2, repeats=2, refused_creations=2,
)  # fmt: skip

SEARCHED = {
    "one order, three workers": (ONE_ORDER, Limits(workers=3)),
    "one order, three declines": (ONE_ORDER, Limits(workers=2, declines=3)),
    "one order, refused captures and lost days": (ONE_ORDER, Limits(workers=2, declines=0, refusals=1, days=True)),
    "one order, refunded by an operator": (ONE_ORDER, Limits(workers=2, declines=0, days=True, operator=True)),
    "one order, refunded partially": (AUTHORIZED, PARTIAL_REFUNDS),
    "one order, refunded partially by a Stripe that fails": (AUTHORIZED, FAILING_PARTIAL_REFUNDS),
    "one order, partial refunds that come back": (REFUNDED, RETURNED_REFUNDS),
    "one order, partial refunds that come back and are asked for again": (
        REFUNDED,
        REPEATED_PARTIAL_REFUNDS._replace(failures=0),
    ),
    "one order, refunds of everything that come back": (
        PAID,
        RETURNED_REFUNDS._replace(workers=1, returned=1, operator=True),
    ),
    "one order, failed creations": (ONE_ORDER, FAILING),
    "one order, refused creations": (ONE_ORDER, REFUSING),
    "one order, extended": (ONE_ORDER, EXTENDING._replace(workers=2)),
    "two orders": (ONE_ORDER, Limits(workers=1, orders=2, declines=0)),
    "two buyers race while the seller edits and withdraws": (World(changes=2), RESERVING._replace(seller=2)),
}
SEARCHED_DEEPLY = {
    "one order, three workers and a refused capture": (ONE_ORDER, Limits(workers=3, refusals=1)),
    "one order paid twice, four declines": (TWO_PAYMENTS, Limits(workers=2, payments=2, declines=4)),
    "one order paid twice, and all that takes time": (
        TWO_PAYMENTS, Limits(workers=2, payments=2, refusals=1, days=True),
    ),
    "one order, failed creations, also late": (ONE_ORDER, FAILING._replace(late=True)),
    "one order, failed creations and three workers": (ONE_ORDER, Limits(workers=3, declines=0, failures=2)),
    "one order, failed creations and lost days": (ONE_ORDER, FAILING._replace(days=True)),
    "one order, refused and failed creations, also late": (
        ONE_ORDER, FAILING._replace(refused_creations=2, late=True, days=True),
    ),
    "one order paid twice, refused creations": (TWO_PAYMENTS, REFUSING._replace(workers=3, payments=2)),
    "one order, and everything": (
        ONE_ORDER,
        Limits(workers=2, refusals=1, failures=1, days=True, operator=True),
    ),
    "one order, paid and refunded partially": (ONE_ORDER, PARTIAL_REFUNDS),
    "one order, refunded partially by a Stripe that fails often": (
        AUTHORIZED, FAILING_PARTIAL_REFUNDS._replace(workers=3, failures=2, days=True),
    ),
    "one order, partial refunds that come back and are asked for again, by two workers": (
        REFUNDED, REPEATED_PARTIAL_REFUNDS._replace(workers=2, days=True),
    ),
    "one order, refunded partially and in full": (ONE_ORDER, PARTIAL_REFUNDS._replace(operator=True)),
    "one order, any refund that comes back": (PAID, RETURNED_REFUNDS._replace(operator=True, returned=1)),
    "one order, any refunds that come back": (REFUNDED, RETURNED_REFUNDS._replace(operator=True, workers=1)),
    "two orders, extended": (ONE_ORDER, EXTENDING._replace(orders=2)),
    "two orders, a decline": (ONE_ORDER, Limits(workers=1, orders=2)),
    "two orders, two workers": (ONE_ORDER, Limits(workers=2, orders=2, declines=0)),
    "two orders, two workers and a decline": (ONE_ORDER, Limits(workers=2, orders=2)),
    "three buyers race while the seller edits": (ON_SALE, RESERVING._replace(orders=3)),
}  # fmt: skip


def named(cases):
    return [pytest.param(*case, id=name) for name, case in cases.items()]


def switched(switch):
    return f"{switch.rule}: {switch.without}"


def sound_search(switch):
    """Return the search with the switch back on: its start and limits, what heals all by itself, and `at_rest`."""
    return switch.start, switch.limits, (switch.sound.reconcile, switch.sound.events_lost), switch.at_rest


HEALING = (True, True)
"""Whether payments reconciles, and whether all must come to rest with the events lost, too."""
SEARCHES = [(*case, HEALING, True) for case in SEARCHED.values()]
SEARCHES += sorted({sound_search(switch) for switch in SWITCHES} - set(SEARCHES), key=str, reverse=True)


def covers(wider, search):
    """Whether a search visits each state that another visits, and does with it what that does."""
    (start, limits, *options), (its_start, its_limits, healing, at_rest) = wider, search
    counted = (
        "workers",
        "orders",
        "declines",
        "refusals",
        "failures",
        "days",
        "operator",
        "extending",
        "refused_creations",
    )
    counted += ("partial_refunds", "returned", "repeats")
    more = {name: max(getattr(limits, name), getattr(its_limits, name)) for name in counted}
    return (start, limits, *options) == (its_start, its_limits._replace(**more), healing, at_rest or options[1])


def covering(search):
    """Return the first of all searches that covers this one."""
    return next(wider for wider in SEARCHES if covers(wider, search))


def sharing(search, *values, name):
    """Return a parameter for a test of a search, for the process that makes that search for other tests too."""
    group = pytest.mark.xdist_group(f"search {SEARCHES.index(covering(search))}")
    return pytest.param(*values, id=name, marks=group)


@cache
def found_in(start, limits, healing, at_rest):
    reconcile, events_lost = healing
    return search(start, Rules(reconcile=reconcile, events_lost=events_lost), limits, at_rest=at_rest)


@pytest.mark.parametrize(
    ("start", "limits"), [sharing((*case, HEALING, True), *case, name=name) for name, case in SEARCHED.items()]
)
def test_nothing_ever_goes_wrong(start, limits):
    found = found_in(start, limits, HEALING, True)

    print(found)
    assert not found.violation, found


@pytest.mark.skipif(not IS_DEEP, reason="TICKETING_SEARCH=deep")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("start", "limits"), named(SEARCHED_DEEPLY))
def test_nothing_goes_wrong_further_on(start, limits):
    found = search(start, Rules(), limits)

    print(found)
    assert not found.violation, found


@pytest.mark.timeout(WALKING_SECONDS + 60)
def test_three_buyers_go_no_wrong_way_at_random():
    until, seed = time.monotonic() + WALKING_SECONDS, 0

    while time.monotonic() < until:
        found = walk(World(changes=EVERYTHING.seller), Rules(), EVERYTHING, seed)
        assert not found.violation, f"seed {seed}: {found}"
        seed += 1

    print(f"{seed} ways")


@pytest.mark.parametrize("switch", SWITCHES, ids=switched)
def test_without_a_rule_it_goes_wrong(switch):
    found = search(switch.start, switch.rules, switch.limits, at_rest=switch.at_rest)

    print(found)
    assert switch.violation in found.violation
    assert found.violation


@pytest.mark.parametrize(
    "switch", [sharing(sound_search(switch), switch, name=switched(switch)) for switch in SWITCHES]
)
def test_with_the_rule_it_does_not(switch):
    found = found_in(*covering(sound_search(switch)))

    assert not found.violation, found


def test_every_rule_has_a_switch():
    assert {switch.rule for switch in SWITCHES} == set(range(1, 17))


@pytest.mark.parametrize(("version", "copy"), [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("task", ["save", "update_work_left"])
def test_the_model_writes_when_the_store_does(task, version, copy):
    read = Document(intent=0, work_left=True)
    stored, written = read._replace(version=version, copy=copy, work_left=False), read._replace(version=2)
    claim = Claim(("created", "created"), document=stored, intents=(Intent(),))
    [(_, _, after)] = steps(World((claim,)), Worker(task, 0, read, written=written), Rules(), Limits())

    store, payment = a_store(), store_document(a_store(), read, "created")
    store_document(store, stored, "created")
    payment.version += task == "save"
    with suppress(VersionConflict):
        getattr(store, task)(payment)

    assert stored_document(store, stored) == after.claims[0].document


def a_store():
    return PaymentStore(mongomock.MongoClient(tz_aware=True).payments)


def test_a_payment_that_changed_nothing_never_changes_anything_later():
    """So the search may deliver an acknowledged event again when all comes to rest: it makes no difference."""
    later = {"created": ["awaiting_payment", "complete", "cancelled"], "awaiting_payment": ["complete", "cancelled"]}
    snapshots = [("open", False), ("authorized", False), ("captured", False), ("cancelled", True), ("refunded", False)]

    for (status, followers), (payment, final) in product(later.items(), snapshots):
        if next_status(status, payment, final) is None:
            assert {next_status(follower, payment, final) for follower in followers} == {None}
