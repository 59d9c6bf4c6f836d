"""Reads stay quick while requests that change something wait to be admitted."""

import time

import gevent
import pytest

from gateway.admission import LONGEST_SECONDS, PATIENCE_SECONDS, AdmissionControl
from gateway.metrics import BEGAN


def spawn(control, method, path):
    return gevent.spawn(control, {"REQUEST_METHOD": method, "PATH_INFO": path}, None)


def record(begun, environ):
    begun.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    return []


def test_a_read_that_comes_after_many_reservations_is_answered_before_them():
    begun = []
    control = AdmissionControl(lambda environ, _: record(begun, environ))

    gevent.joinall([*(spawn(control, "POST", str(number)) for number in range(5)), spawn(control, "GET", "/")], 5)

    assert begun == [("GET", "/"), *(("POST", str(number)) for number in range(5))]


def test_reservations_begin_also_while_there_are_always_reads_to_answer():
    begun = []
    control = AdmissionControl(lambda environ, _: record(begun, environ))

    def read_on_and_on():
        while len(begun) < 3:
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(read_on_and_on), *(spawn(control, "POST", str(number)) for number in range(3))], 5)

    assert begun == [("POST", "0"), ("POST", "1"), ("POST", "2")]


def test_a_reservation_begins_after_each_20_ms_that_reads_have_used(monkeypatch):
    begun, checks, used = [], [], [0.0]
    monkeypatch.setattr(time, "thread_time", lambda: used[0])
    control = AdmissionControl(lambda environ, _: record(begun, environ), clock=lambda: checks.append("") or 0.0)

    def read_on_and_on():
        gevent.sleep(0)  # until the reservations wait
        for _ in range(3):
            used[0] += 1.25 * PATIENCE_SECONDS
            checked = len(checks)
            while len(checks) == checked:
                gevent.sleep(0)
        begun.append("the reads end")

    gevent.joinall([*(spawn(control, "POST", str(number)) for number in range(5)), gevent.spawn(read_on_and_on)], 5)

    assert begun.index("the reads end") == 3


def test_nobody_waits_for_longer_than_three_seconds_however_many_reads_there_are():
    begun, now = [], [0.0]
    control = AdmissionControl(lambda environ, _: record(begun, environ), clock=lambda: now[0])

    def read_on_and_on():
        gevent.sleep(0)
        now[0] = LONGEST_SECONDS
        until = time.monotonic() + 5
        while not begun and time.monotonic() < until:
            gevent.sleep(0)
        begun.append("the reads end")

    gevent.joinall([gevent.spawn(read_on_and_on), *(spawn(control, "POST", str(number)) for number in range(50))], 5)

    assert begun == [*(("POST", str(number)) for number in range(50)), "the reads end"]


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api/webhooks/stripe",
            "/api/users/signout",
            "/signout",
            "/account/signout-everywhere",
            "/account/sessions/s",
        ),
        *("/api/payments", "/orders/o/pay", "/orders/o/attempt", "/api/orders/o/payment-intent", "/api/orders/o"),
    ],
)
def test_a_webhook_a_payment_and_a_sign_out_do_not_wait_behind_reservations(path):
    begun = []
    control = AdmissionControl(lambda environ, _: record(begun, environ))
    reservations = [spawn(control, "POST", path) for path in ("/api/orders", "/tickets/t/buy")]

    gevent.joinall([*reservations, spawn(control, "POST", path)], 5)

    assert begun == [("POST", path), ("POST", "/api/orders"), ("POST", "/tickets/t/buy")]


def test_the_time_in_the_queue_counts_as_time_of_the_request():
    environs = []
    control = AdmissionControl(lambda environ, _: environs.append(environ) or [])

    spawn(control, "POST", "/").join(5)

    assert environs[0][BEGAN] > 0


def test_one_whose_request_is_cut_off_holds_up_nobody():
    begun = []
    control = AdmissionControl(lambda environ, _: record(begun, environ))
    first, second = spawn(control, "POST", "1"), spawn(control, "POST", "2")
    gevent.sleep(0)
    first.kill(block=False)

    second.join(5)

    assert begun[-1] == ("POST", "2")
