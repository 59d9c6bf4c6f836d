"""Throttling attempts, on a real MongoDB."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from libs.contracts.attempts import Counter, Limit
from libs.contracts.errors import TooManyAttempts
from libs.errors import Unavailable
from libs.throttle import HOUR, NO_WAIT, MongoThrottle

PAIR = Counter("pair", Limit(free=3, longest_wait_seconds=900))
ADDRESS = Counter("address", Limit(free=100, longest_wait_seconds=900))
EMAILS_IN_USE = Counter("taken", Limit(free=20, longest_wait_seconds=900))
SIGN_UPS = Counter("sign-up", Limit(free=10))


class Wrong(Exception):
    pass


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.now

    def wait(self, **time):
        self.now += timedelta(**time)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def mongo(emptied):
    return emptied


@pytest.fixture
def throttle(mongo, clock):
    return MongoThrottle(mongo.attempts, clock)


def fail(throttle, counters=(PAIR,)):
    """Make an attempt that fails; return 0, or for how many seconds none is accepted."""
    try:
        with throttle.attempt(counters, Wrong):
            raise Wrong
    except Wrong:
        return 0
    except TooManyAttempts as error:
        return error.details["retry_after"]


def test_attempts_after_the_free_ones_must_wait(throttle):
    assert [fail(throttle) for _ in range(5)] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (10**6, 900)]
)
def test_waits_double_after_the_free_attempts_up_to_the_longest(throttle, mongo, clock, attempts, seconds):
    pair = Counter("pair", Limit(free=5, longest_wait_seconds=900))
    kept = {"tries": attempts - 1, "until": NO_WAIT, "forget_at": clock.now + HOUR}
    mongo.attempts.insert_one({"_id": "pair", **kept})

    assert fail(throttle, [pair]) == 0

    until = mongo.attempts.find_one({"_id": "pair"})["until"]
    assert until == (clock.now + timedelta(seconds=seconds) if seconds else NO_WAIT)


def test_waits_grow(throttle):
    for _ in range(6):
        fail(throttle, [Counter("pair", Limit(free=7, longest_wait_seconds=900))])

    assert fail(throttle, [Counter("pair", Limit(free=1, longest_wait_seconds=900))]) == 0
    assert fail(throttle) == 64


def test_successful_attempts_are_not_counted(throttle):
    for _ in range(10):
        with throttle.attempt([PAIR], Wrong):
            pass

    assert fail(throttle) == 0


def test_an_attempt_that_broke_off_is_not_counted(throttle):
    for _ in range(10):
        with pytest.raises(KeyError), throttle.attempt([PAIR], Wrong):
            raise KeyError

    assert fail(throttle) == 0


def test_sign_up_that_was_answered_503_does_not_count(throttle):
    for _ in range(20):
        with pytest.raises(Unavailable), throttle.counted([SIGN_UPS]):
            raise Unavailable("too many wait")

    assert [fail_or_sign_up(throttle, error) for error in [None, Wrong()] * 5] == ["done", "Wrong"] * 5
    assert fail_or_sign_up(throttle) == "TooManyAttempts"


def fail_or_sign_up(throttle, error=None):
    try:
        with throttle.counted([SIGN_UPS]):
            if error:
                raise error
    except (Wrong, TooManyAttempts) as problem:
        return type(problem).__name__
    return "done"


def succeed_or_fail(throttle, counters, error=None, meanwhile=lambda: None):
    """Do something of which only failures count; return what came of it."""
    try:
        with throttle.failures(counters, Wrong):
            meanwhile()
            if error:
                raise error
    except (Wrong, TooManyAttempts, KeyError) as problem:
        return type(problem).__name__
    return "done"


def test_people_who_do_the_same_at_once_from_one_address_hold_nobody_up(throttle):
    all_inside = Barrier(8)
    only_one = Counter("address", Limit(free=1, longest_wait_seconds=900))

    with ThreadPoolExecutor(8) as pool:
        begun = [pool.submit(succeed_or_fail, throttle, [only_one], meanwhile=all_inside.wait) for _ in range(8)]

    assert {each.result() for each in begun} == {"done"}


def test_of_many_failures_at_once_no_more_than_the_free_ones_are_disclosed(throttle):
    all_inside = Barrier(8)

    with ThreadPoolExecutor(8) as pool:
        begun = [pool.submit(succeed_or_fail, throttle, [PAIR], Wrong(), all_inside.wait) for _ in range(8)]

    assert sorted(each.result() for each in begun) == ["TooManyAttempts"] * 5 + ["Wrong"] * 3
    assert succeed_or_fail(throttle, [PAIR]) == "TooManyAttempts"


def test_what_broke_off_is_no_failure(throttle):
    assert [succeed_or_fail(throttle, [PAIR], KeyError()) for _ in range(10)] == ["KeyError"] * 10
    assert succeed_or_fail(throttle, [PAIR]) == "done"


def test_of_many_at_once_no_more_than_the_free_ones_are_taken(throttle):
    with ThreadPoolExecutor(20) as pool:
        waits = list(pool.map(lambda _: fail(throttle), range(20)))

    assert waits.count(0) == PAIR.limit.free


def test_one_closed_counter_stops_the_attempt_which_then_counts_for_none(throttle):
    for _ in range(20):
        fail(throttle, [PAIR, ADDRESS])

    assert fail(throttle, [Counter("address", Limit(free=4, longest_wait_seconds=900))]) == 0


def test_counters_are_forgotten_an_hour_after_the_first_attempt(throttle, mongo, clock):
    began = clock.now
    for _ in range(3):
        fail(throttle)
        clock.wait(minutes=10)

    assert mongo.attempts.find_one({"_id": "pair"})["forget_at"] == began + HOUR


def test_place_where_somebody_signs_up_every_seven_minutes_is_never_refused(throttle, clock):
    refused = []
    for _ in range(6 * 60 // 7):
        refused.append(fail(throttle, [SIGN_UPS]))  # counted, as each sign-up is
        clock.wait(minutes=7)

    assert not any(refused)


def test_ten_sign_ups_an_hour_are_ten_and_a_refusal_says_when_the_next_is_accepted(throttle, clock):
    for _ in range(10):
        throttle.count([SIGN_UPS])
        clock.wait(minutes=2)

    with pytest.raises(TooManyAttempts) as refused:
        throttle.count([SIGN_UPS])
    clock.wait(seconds=refused.value.details["retry_after"])

    assert refused.value.details["retry_after"] == 40 * 60
    for _ in range(10):
        throttle.count([SIGN_UPS])


def test_robot_that_keeps_trying_does_not_keep_an_address_locked_out_for_longer_than_the_hour(throttle, clock):
    began, answers = clock.now, []
    while clock.now < began + HOUR:
        answers.append(fail(throttle, [EMAILS_IN_USE]))
        clock.wait(seconds=30)

    assert any(answers)
    assert [fail(throttle, [EMAILS_IN_USE]) for _ in range(EMAILS_IN_USE.limit.free)] == [0] * EMAILS_IN_USE.limit.free


def test_no_wait_is_longer_than_the_rest_of_the_hour(throttle, mongo, clock):
    kept = {"tries": 30, "until": NO_WAIT, "forget_at": clock.now + timedelta(minutes=5)}
    mongo.attempts.insert_one({"_id": "pair", **kept})

    assert [fail(throttle), fail(throttle)] == [0, 300]


def test_first_attempts_at_the_same_moment_are_all_free(throttle):
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            address = Counter(f"address {number}", Limit(free=100, longest_wait_seconds=900))
            assert list(pool.map(lambda _, address=address: fail(throttle, [address]), range(8))) == [0] * 8


def test_successful_attempts_at_the_same_moment_hold_nobody_up(throttle):
    def succeed(_):
        with throttle.attempt([ADDRESS], Wrong):
            return "done"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(succeed, range(400))) == {"done"}
