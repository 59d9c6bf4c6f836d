"""Throttling attempts, on a real MongoDB."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from auth.domain import Counter, Limit, TooManyAttempts
from auth.throttle import NO_WAIT, MongoThrottle
from libs.clock import utc_now

PAIR = Counter("pair", Limit(free=3, longest_wait_seconds=900))
ADDRESS = Counter("address", Limit(free=100, longest_wait_seconds=900))


class Wrong(Exception):
    pass


@pytest.fixture
def throttle(mongo):
    return MongoThrottle(mongo.attempts)


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
def test_waits_double_after_the_free_attempts_up_to_the_longest(throttle, mongo, attempts, seconds):
    pair = Counter("pair", Limit(free=5, longest_wait_seconds=900))
    mongo.attempts.insert_one({"_id": "pair", "tries": attempts - 1, "until": NO_WAIT})

    began = utc_now()
    assert fail(throttle, [pair]) == 0

    until = mongo.attempts.find_one({"_id": "pair"})["until"]
    assert until == NO_WAIT if seconds == 0 else seconds <= (until - began).total_seconds() <= seconds + 3


def test_waits_grow(throttle):
    for _ in range(6):
        fail(throttle, [Counter("pair", Limit(free=7, longest_wait_seconds=900))])

    assert fail(throttle, [Counter("pair", Limit(free=1, longest_wait_seconds=900))]) == 0
    assert 60 <= fail(throttle) <= 64


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


def test_of_many_at_once_no_more_than_the_free_ones_are_taken(throttle):
    with ThreadPoolExecutor(20) as pool:
        waits = list(pool.map(lambda _: fail(throttle), range(20)))

    assert waits.count(0) == PAIR.limit.free


def test_one_closed_counter_stops_the_attempt_which_then_counts_for_none(throttle):
    for _ in range(20):
        fail(throttle, [PAIR, ADDRESS])

    assert fail(throttle, [Counter("address", Limit(free=4, longest_wait_seconds=900))]) == 0


def test_counters_are_forgotten_after_an_hour_of_quiet(throttle, mongo):
    fail(throttle)

    kept = mongo.attempts.find_one({"_id": "pair"})
    assert 3590 <= (kept["forget_at"] - utc_now()).total_seconds() <= 3600


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
