from datetime import UTC, datetime, timedelta

import pytest

from expiration.domain import Deadline
from libs.contracts.events import ExpirationComplete

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=15)


def an_order(status="created", version=1, expires_at=LATER):
    return {"id": "o1", "status": status, "version": version, "expires_at": expires_at}


def test_an_open_deadline_fires_once_and_not_early():
    deadline = Deadline.of(an_order())

    assert deadline.fire(LATER - timedelta(seconds=1)) is False
    assert deadline.fire(LATER) is True
    assert deadline.fire(LATER) is False


@pytest.mark.parametrize("status", ["awaiting_payment", "complete", "cancelled"])
def test_a_deadline_ends_when_its_order_is_no_longer_unpaid(status):
    deadline = Deadline.of(an_order())

    assert deadline.apply_order(an_order(status, version=2)) is True
    assert deadline.fire(LATER) is False


@pytest.mark.parametrize("version", [1, 2])
def test_a_snapshot_that_is_older_or_equal_changes_nothing(version):
    deadline = Deadline.of(an_order("cancelled", version=2))

    assert deadline.apply_order(an_order("created", version=version)) is False
    assert (deadline.state, deadline.version) == ("ended", 1)


def test_a_moved_deadline_fires_at_its_new_time():
    deadline = Deadline.of(an_order())

    deadline.apply_order(an_order(version=2, expires_at=NOON))

    assert deadline.fire(NOON) is True


def test_a_deadline_moved_after_it_fired_is_open_again():
    deadline = Deadline.of(an_order())
    deadline.fire(LATER)

    deadline.apply_order(an_order(version=2, expires_at=LATER + timedelta(minutes=5)))

    assert deadline.state == "open"


def test_the_event_declares_every_field_of_a_deadline():
    assert Deadline.of(an_order()).snapshot().keys() == ExpirationComplete.schema.fields.keys()
