from datetime import UTC, datetime, timedelta
from typing import Any

from expiration.service import ExpirationService
from expiration.store import DeadlineStore
from libs.events import Batch

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class InterruptedSchedule:
    """A schedule during whose first entry something else happens."""

    def __init__(self, meanwhile):
        self.meanwhile = meanwhile
        self.times = {}

    def put(self, order_id, expires_at):
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        self.times[order_id] = expires_at

    def put_all(self, deadlines):
        for order_id, expires_at, *_ in deadlines:
            self.put(order_id, expires_at)

    def remove(self, order_id):
        self.times.pop(order_id, None)


def an_order(version, expires_at=NOON, status="created"):
    return {"id": "o1", "version": version, "status": status, "expires_at": expires_at}


def a_service(mongo, meanwhile):
    service = ExpirationService()
    service.store = DeadlineStore(mongo)
    service.schedule = InterruptedSchedule(meanwhile)
    return service


def test_a_deadline_that_moves_while_its_job_is_made_gets_the_job_of_its_new_time(mongo):
    later = NOON + timedelta(minutes=5)
    service: Any = a_service(mongo, lambda: service.on_order_changed(an_order(2, later)))

    service.on_orders_created(Batch([an_order(1)], [None]))

    assert service.schedule.times == {"o1": later}


def test_an_order_that_ends_while_its_job_is_made_has_no_job(mongo):
    service: Any = a_service(mongo, lambda: service.on_order_changed(an_order(2, status="cancelled")))

    service.on_orders_created(Batch([an_order(1)], [None]))

    assert service.schedule.times == {}
