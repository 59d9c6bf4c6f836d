"""The clock is orders' own: a deadline holds with Redis, the scheduler and the worker lost."""

import time

import pytest
import redis

pytestmark = pytest.mark.usefixtures("at_rest")

GRACE_SECONDS = 15


@pytest.fixture
def without(system):
    """Return what stops programs until the test is over."""
    stopped = []

    def stop(*names):
        for name in names:
            system.stop_program(name)
            stopped.append(name)

    yield stop
    for name in reversed(stopped):
        system.start_program(name)
        system.wait_ready(name)


def test_a_ticket_is_on_sale_again_in_time_without_scheduler_and_worker(ana, bo, operator, without):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)
    without("scheduler", "worker")

    deadline = operator.let_expire(order_id)

    bo.sees_order(order_id, "cancelled", GRACE_SECONDS + 1)
    bo.sees_ticket(ticket_id, "on_sale", max(1, deadline + GRACE_SECONDS - time.monotonic()))
    assert bo.order(order_id)["cancelReason"] == "expired"


def test_a_ticket_is_on_sale_again_in_time_after_redis_lost_everything(system, ana, bo, operator):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)
    operator.let_expire(order_id, 3)
    with redis.Redis.from_url(system.redis_url) as client:
        for key in client.scan_iter("rq:scheduler:scheduled_jobs"):
            client.delete(key)
        for key in client.scan_iter("rq:job:expire-*"):
            client.delete(key)

    bo.sees_ticket(ticket_id, "on_sale", 3 + GRACE_SECONDS)
    assert bo.order(order_id)["cancelReason"] == "expired"


def test_without_redis_tickets_are_bought_and_guessing_passwords_is_slowed_down(ana, bo, without):
    ticket_id = ana.list_ticket()
    without("scheduler", "worker", "redis")

    order_id = bo.reserve(ticket_id)
    paid = bo.pay(order_id)
    guesses = [bo.post("/api/users/signin", {"email": ana.email, "password": f"a guess {n}"}) for n in range(12)]

    assert paid.status_code == 201, paid.text
    assert guesses[0].status_code == 400
    assert guesses[-1].status_code == 429 and int(guesses[-1].headers["Retry-After"]) >= 1


def test_an_order_paid_in_its_last_second_is_complete_or_cancelled_and_never_both(ana, bo, operator):
    order_id = bo.reserve(ana.list_ticket())
    operator.let_expire(order_id, 0.3)

    answer = bo.pay(order_id)

    ended = "complete" if answer.status_code == 201 else "cancelled"
    bo.sees_order(order_id, ended)
    assert answer.status_code in (201, 409)
